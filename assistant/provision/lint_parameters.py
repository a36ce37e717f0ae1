"""Checks of a Modelfile's parameters: known, of the right type, in range, not contradictory."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from assistant.ollama.modelfile import Instruction
from assistant.ollama.modelfile_parameters import (
    DEPRECATED_PARAMETERS,
    KIND_WORDS,
    KNOWN_PARAMETERS,
    REMOVED_PARAMETERS,
    Parameter,
    typed_value,
)
from assistant.provision.lint_records import Lines, LintFinding

SMALL_BATCH: Final = 64
"""Fewer prompt tokens at once leave most of a GPU or of AVX units idle."""
STRONG_PENALTY: Final = 1.3
"""Above it repeat_penalty forbids names, figures and code that must repeat."""
TIGHT_MIN_P: Final = 0.1
TIGHT_TOP_P: Final = 0.9
_CHOOSING: Final = ("top_k", "top_p", "min_p", "typical_p", "seed")


def parameter_findings(lines: Lines) -> Iterator[LintFinding]:
    """Yield what is wrong or odd about the parameters."""
    for each in lines.of("parameter"):
        if each.name and each.value is not None:
            yield from _one(each)
    yield from _greedy(lines)
    yield from _penalties(lines)
    yield from _lengths(lines)
    yield from _machine(lines)
    yield from _stops(lines)


def _one(instruction: Instruction) -> Iterator[LintFinding]:
    """Yield what a parameter's line shows by itself."""
    name, value, line = instruction.name, instruction.value or "", instruction.line
    if name in DEPRECATED_PARAMETERS:
        yield LintFinding(
            "warning", line, f"{name} is deprecated", "ollama create drops it with a warning",
            "remove the line",
        )  # fmt: skip
        return
    parameter = KNOWN_PARAMETERS.get(name)
    if parameter is None:
        yield LintFinding(
            "error", line, f"there is no parameter {name}", "ollama create refuses it",
            _instead(name, value),
        )  # fmt: skip
        return
    try:
        typed = typed_value(parameter, value)
    except ValueError:
        yield LintFinding(
            "error", line, f"{name} takes {KIND_WORDS[parameter.kind]}, not {value[:40]!r}",
            "ollama create refuses it", f"remove the line for the default: {parameter.default}",
        )  # fmt: skip
        return
    if not isinstance(typed, str) and not _in_range(parameter, typed):
        yield LintFinding(
            "warning", line, f"{name} {value[:40]} is out of range", f"it goes {_range(parameter)}",
            f"remove the line for the default: {parameter.default}",
        )  # fmt: skip


def _instead(name: str, value: str) -> str:
    """Return what to write for a parameter that does not exist."""
    lower = name.lower()
    if lower in KNOWN_PARAMETERS:
        return f"names are in lower case: PARAMETER {lower} {value}"
    if lower in REMOVED_PARAMETERS:
        return f"remove the line: {REMOVED_PARAMETERS[lower]}"
    near = difflib.get_close_matches(lower, KNOWN_PARAMETERS, n=1, cutoff=0.6)
    if near:
        return f"did you mean PARAMETER {near[0]} {value}?"
    return "remove the line"


def _in_range(parameter: Parameter, value: float) -> bool:
    above = parameter.low is None or value >= parameter.low
    return above and (parameter.high is None or value <= parameter.high)


def _range(parameter: Parameter) -> str:
    low, high = parameter.low or 0, parameter.high
    if high is None or high > 1e6:
        return f"from {low:g} up"
    return f"from {low:g} to {high:g}"


def _greedy(lines: Lines) -> Iterator[LintFinding]:
    """Yield the parameters that greedy decoding leaves without effect."""
    if lines.number("temperature") == 0:
        idle = [name for name in _CHOOSING if lines.number(name) is not None]
        if idle:
            yield LintFinding(
                "warning", lines.line_of(idle[0]),
                f"temperature 0 and {', '.join(idle)} contradict each other",
                "at 0 the likeliest token is always taken, so nothing is left to choose from",
                "remove one side",
            )  # fmt: skip
    elif lines.number("top_k") == 1:
        yield LintFinding(
            "note", lines.line_of("top_k"), "top_k 1 leaves one token to choose from",
            "temperature and top_p then have no effect", "temperature 0 says the same plainly",
        )  # fmt: skip
    min_p, top_p = lines.number("min_p"), lines.number("top_p")
    if min_p is not None and top_p is not None and min_p >= TIGHT_MIN_P and top_p < TIGHT_TOP_P:
        yield LintFinding(
            "note", lines.line_of("min_p"), f"min_p {min_p:g} and top_p {top_p:g} are both tight",
            "each cuts unlikely tokens; together they leave few and answers become stiff",
            "use one: with min_p, set top_p 1",
        )  # fmt: skip


def _penalties(lines: Lines) -> Iterator[LintFinding]:
    penalty = lines.number("repeat_penalty")
    others = [
        name for name in ("presence_penalty", "frequency_penalty") if lines.number(name)
    ]  # fmt: skip
    if penalty is not None and penalty > STRONG_PENALTY:
        yield LintFinding(
            "warning", lines.line_of("repeat_penalty"), f"repeat_penalty {penalty:g} is strong",
            "it also hinders names, figures and code that must repeat", "1.0 to 1.1 is usual",
        )  # fmt: skip
    if penalty is not None and penalty != 1 and others:
        yield LintFinding(
            "note", lines.line_of("repeat_penalty"), f"repeat_penalty and {others[0]} add up",
            "both lower what was said already", "keep one",
        )  # fmt: skip
    if lines.number("repeat_last_n") == 0 and ((penalty or 1) != 1 or others):
        yield LintFinding(
            "warning", lines.line_of("repeat_last_n"), "repeat_last_n 0 looks back at no token",
            "the penalties then have no effect", "remove one side",
        )  # fmt: skip


def _lengths(lines: Lines) -> Iterator[LintFinding]:
    """Yield the counts that do not go together with num_ctx."""
    num_ctx = lines.number("num_ctx")
    if num_ctx is None:
        return
    num_predict = lines.number("num_predict")
    if num_predict is not None and num_predict > num_ctx:
        yield LintFinding(
            "warning", lines.line_of("num_predict"),
            f"num_predict {num_predict} is more than num_ctx {num_ctx}",
            "prompt and answer share the context; beyond it the beginning is forgotten",
            "lower num_predict, or raise num_ctx",
        )  # fmt: skip
    num_keep = lines.number("num_keep")
    if num_keep is not None and num_keep >= num_ctx:
        yield LintFinding(
            "warning", lines.line_of("num_keep"),
            f"num_keep {num_keep} leaves nothing of num_ctx {num_ctx}",
            "kept tokens cannot make room for new ones", "4, the default, is enough",
        )  # fmt: skip
    num_batch = lines.number("num_batch")
    if num_batch is not None and num_batch > num_ctx:
        yield LintFinding(
            "warning", lines.line_of("num_batch"),
            f"num_batch {num_batch} is more than num_ctx {num_ctx}",
            "a prompt cannot be longer than the context, so the buffer is partly wasted",
            "remove the line: Ollama chooses 512 to 2048",
        )  # fmt: skip


def _machine(lines: Lines) -> Iterator[LintFinding]:
    """Yield what is said about parameters that belong to one machine."""
    num_batch = lines.number("num_batch")
    if num_batch is not None and 1 <= num_batch < SMALL_BATCH:
        yield LintFinding(
            "warning", lines.line_of("num_batch"), f"num_batch {num_batch} is small",
            "long prompts are read many times slower",
            "remove the line: Ollama chooses 512 to 2048",
        )  # fmt: skip
    if lines.number("num_thread"):
        yield LintFinding(
            "note", lines.line_of("num_thread"), "num_thread belongs to one machine",
            "Ollama takes the physical cores by itself, and more threads than those are slower",
            "remove the line unless you measured it",
        )  # fmt: skip
    if lines.number("main_gpu") is not None:
        yield LintFinding(
            "note", lines.line_of("main_gpu"), "main_gpu keeps the model on one GPU",
            "where it does not fit there, layers go to the CPU although other GPUs are free",
            "remove the line: Ollama takes the GPU with room",
        )  # fmt: skip


def _stops(lines: Lines) -> Iterator[LintFinding]:
    for each in lines.of("parameter"):
        if each.name != "stop" or each.value is None:
            continue
        if each.value == "":
            yield LintFinding("warning", each.line, "stop is empty", "it stops nothing, or at once",
                              "remove the line")  # fmt: skip
        elif '" "' in each.value or '", "' in each.value:
            yield LintFinding(
                "warning", each.line, "several stop words are in one line",
                "Ollama reads them as one long word that never comes",
                "write one PARAMETER stop line for each",
            )  # fmt: skip
