"""Whether a Modelfile will do what it says: the checks of `assistant modelfile lint`.

`ollama create` accepts much that fails or is ignored later: unknown types at the first use,
contexts above the trained one cut down, an empty SYSTEM without effect. Everything here is
arithmetic on text and records; what the disk, a catalog or a server knows is handed in.
What Ollama does with each line is from its `parser/parser.go`, `server/create.go` and
`server/prompt.go` (August 2026).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from assistant.errors import ModelNameError
from assistant.models.names import parse_model_name
from assistant.ollama.modelfile import (
    COMMANDS,
    Instruction,
    Modelfile,
    ModelfileError,
    instruction_problem,
    names_a_file,
    parse_lines,
    render_modelfile,
)
from assistant.ollama.modelfile_parameters import KNOWN_PARAMETERS
from assistant.ollama.versions import parse_version
from assistant.provision.lint_fit import fit_findings
from assistant.provision.lint_parameters import parameter_findings
from assistant.provision.lint_records import LEVELS, Lines, LintFinding

if TYPE_CHECKING:
    from assistant.fit.records import FitEstimate, ModelFacts

__all__ = ["LEVELS", "LintFinding", "lint_modelfile"]

_ONCE: Final = ("template", "system", "adapter", "requires", "renderer", "parser")
_VERSION: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+][0-9A-Za-z.+-]+)?")


def lint_modelfile(
    modelfile: str | Modelfile,
    *,
    facts: ModelFacts | None = None,
    estimate: FitEstimate | None = None,
    largest_on_gpu: int | None = None,
    server_version: str | None = None,
    from_problem: str | None = None,
    missing_files: Collection[str] = (),
) -> tuple[LintFinding, ...]:
    """Return what is wrong with a Modelfile or worth knowing about it, worst first.

    `facts` are those of the model in FROM, `estimate` what it takes on the machine with the
    file's own parameters, `largest_on_gpu` the longest context that stays on the GPU there.
    `from_problem` says why FROM could not be looked up, `missing_files` which named files are
    not there. What is None is not checked. A `Modelfile` has no lines, so neither have its
    findings.
    """
    text = modelfile if isinstance(modelfile, str) else render_modelfile(modelfile)
    try:
        lines = Lines(parse_lines(text))
    except ModelfileError as error:
        what = error.what.rstrip(".")
        return (LintFinding("error", error.line, what, "Ollama cannot read it", _said(error)),)
    found = [
        *_instruction_findings(lines),
        *_from_findings(lines, from_problem, missing_files),
        *_repeated_findings(lines),
        *_prompt_findings(lines),
        *_requires_findings(lines, server_version),
        *parameter_findings(lines),
        *fit_findings(lines, facts, estimate, largest_on_gpu),
    ]
    found.sort(key=lambda each: (LEVELS.index(each.level), each.line or 0))
    if isinstance(modelfile, str):
        return tuple(found)
    return tuple(LintFinding(e.level, None, e.what, e.why, e.fix) for e in found)


def _instruction_findings(lines: Lines) -> Iterator[LintFinding]:
    stray = False
    for each in lines.all:
        problem = instruction_problem(each)
        was_stray, stray = stray, problem is not None and _is_stray(each)
        if problem is not None and not (stray and was_stray):
            yield LintFinding(
                "error", each.line, problem.rstrip("."), "ollama create refuses it", _repair(each)
            )


def _is_stray(instruction: Instruction) -> bool:
    """Return whether a line is like no instruction: a text without quotes has many of them."""
    return not _near(instruction.command) and instruction.command not in KNOWN_PARAMETERS


def _near(command: str) -> list[str]:
    return difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.75)


def _repair(instruction: Instruction) -> str:
    """Return what an instruction that is none was probably meant to be."""
    value = _short(instruction.value or "VALUE")
    if instruction.command in KNOWN_PARAMETERS:
        return f"PARAMETER {instruction.command} {value}"
    if instruction.command not in COMMANDS:
        near = _near(instruction.command)
        if near:
            return f"{near[0].upper()} {value}"
        return 'put # before a remark, and """ before and after a text of several lines'
    if instruction.command == "message":
        return "MESSAGE user TEXT"
    if instruction.command == "parameter":
        return f"PARAMETER {instruction.name} {value}".replace("  ", " ")
    return f"{instruction.command.upper()} VALUE, or remove the line"


def _from_findings(
    lines: Lines, from_problem: str | None, missing_files: Collection[str]
) -> Iterator[LintFinding]:
    sources = lines.of("from")
    if not sources:
        yield LintFinding(
            "error", None, "there is no FROM line", "a Modelfile must name its model",
            "FROM llama3.1:8b",
        )  # fmt: skip
    names = [each for each in sources if not names_a_file(each.value or "")]
    if len(names) > 1:
        yield LintFinding(
            "warning", names[0].line, "several FROM lines name models",
            f"only the last one counts, {names[-1].value}", "keep one",
        )  # fmt: skip
    for each in names[-1:]:
        yield from _name_findings(each, from_problem)
    if sources and not names and from_problem is not None:
        yield LintFinding(
            "warning", sources[0].line, from_problem.rstrip("."),
            "the file was not read, so its memory was not checked", "see: assistant fit FILE",
        )  # fmt: skip
    for each in lines.of("from", "adapter", "draft"):
        if each.value in missing_files:
            yield LintFinding(
                "error", each.line, f"{each.command.upper()} names {each.value}, which is missing",
                "paths count from the folder of the Modelfile", "correct the path",
            )  # fmt: skip


def _name_findings(instruction: Instruction, from_problem: str | None) -> Iterator[LintFinding]:
    """Yield what is to be said about a FROM line that names a model."""
    name, line = instruction.value or "", instruction.line
    try:
        parsed = parse_model_name(name)
    except ModelNameError as error:
        yield LintFinding("error", line, error.message.rstrip("."), "FROM takes a name or a file",
                          error.hint or "correct the name")  # fmt: skip
        return
    if parsed.tag.lower().split("-")[-1] == "cloud":
        yield LintFinding(
            "error", line, f"{name} runs on Ollama's servers",
            "what you write would leave this computer, and num_ctx and num_gpu mean nothing there",
            "name a model that runs here: assistant recommend",
        )  # fmt: skip
    elif from_problem is not None:
        yield LintFinding(
            "warning", line, from_problem.rstrip("."),
            "ollama create pulls it, and fails if there is none; the memory was not checked",
            f"check the name, or pull it first: ollama pull {name}",
        )  # fmt: skip
    elif ":" not in name.rpartition("/")[2]:
        yield LintFinding(
            "note", line, f"{name} has no tag", "it means :latest, which moves to other versions",
            "name the size, as in llama3.1:8b",
        )  # fmt: skip


def _repeated_findings(lines: Lines) -> Iterator[LintFinding]:
    for command in _ONCE:
        same = lines.of(command)
        for each in same[:-1]:
            yield LintFinding(
                "warning", each.line, f"{command.upper()} is given again on line {same[-1].line}",
                "only the last one counts", "keep one",
            )  # fmt: skip
    parameters = [each for each in lines.of("parameter") if each.name in KNOWN_PARAMETERS]
    for each in parameters:
        last = lines.parameter(each.name)
        if last is not None and last != each and not KNOWN_PARAMETERS[each.name].repeats:
            yield LintFinding(
                "warning", each.line, f"{each.name} is set again on line {last.line}",
                f"only the last value counts, {last.value}", "keep one",
            )  # fmt: skip


def _prompt_findings(lines: Lines) -> Iterator[LintFinding]:
    templates, renderers = lines.of("template"), lines.of("renderer")
    if templates and renderers:
        yield LintFinding(
            "warning", templates[-1].line, "both TEMPLATE and RENDERER are given",
            "the renderer writes the prompt and the template is never used", "keep one",
        )  # fmt: skip
    elif templates and _has_model_name(lines):
        yield LintFinding(
            "note", templates[-1].line, "TEMPLATE replaces the one that comes with the model",
            "a template of another family makes answers wrong or endless",
            "leave it out unless the model's own is broken",
        )  # fmt: skip
    for each in lines.of("system", "template", "license", "renderer", "parser"):
        if each.value == "":
            yield LintFinding(
                "warning", each.line, f"{each.command.upper()} is empty",
                "an empty one is ignored, and the model's own stays", "write one, or leave it out",
            )  # fmt: skip
    system_messages = [each for each in lines.of("message") if each.name == "system"]
    if system_messages and lines.of("system"):
        yield LintFinding(
            "note", system_messages[0].line, "MESSAGE system and SYSTEM are both given",
            "the model gets two system prompts, and many follow only one", "put both into SYSTEM",
        )  # fmt: skip
    if lines.of("adapter"):
        yield LintFinding(
            "note", lines.of("adapter")[-1].line, "an adapter fits one base model only",
            "on another one, or another version, its answers are erratic",
            "FROM must name the model that it was trained on",
        )  # fmt: skip


def _has_model_name(lines: Lines) -> bool:
    return any(not names_a_file(each.value or "") for each in lines.of("from"))


def _requires_findings(lines: Lines, server_version: str | None) -> Iterator[LintFinding]:
    for each in lines.of("requires")[-1:]:
        wanted = _version(each.value or "")
        if wanted is None:
            yield LintFinding(
                "error", each.line, f"{each.value!r} is not a version", "ollama create refuses it",
                "write it as 0.33.0",
            )  # fmt: skip
            continue
        present = parse_version(server_version)
        if present is not None and present < wanted:
            yield LintFinding(
                "warning", each.line, f"it requires Ollama {each.value}, here is {server_version}",
                "the server does not refuse it, but the model may not load", "update Ollama",
            )  # fmt: skip


def _version(text: str) -> tuple[int, int, int] | None:
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[1]), int(match[2] or 0), int(match[3] or 0)


def _short(text: str) -> str:
    """Return a value as it fits into a sentence: its first line, 40 characters at most."""
    first = text.partition("\n")[0]
    return text if len(text) <= 40 and first == text else first[:37].rstrip() + "..."


def _said(error: ModelfileError) -> str:
    hint = (error.hint or "").rstrip(".")
    return hint[:1].lower() + hint[1:]
