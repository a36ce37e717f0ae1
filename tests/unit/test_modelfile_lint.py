"""The checks of a Modelfile: each finding on the line that causes it, and none without cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
from assistant.models.catalog import load_catalog
from assistant.ollama.modelfile import parse_modelfile
from assistant.ollama.modelfile_parameters import DEPRECATED_PARAMETERS, KNOWN_PARAMETERS
from assistant.provision.lint import LEVELS, LintFinding, lint_modelfile

RTX_3060 = parse_machine("RTX 3060 12GB, 32GB RAM")
CPU = parse_machine("CPU only, 16GB RAM")
GOOD = "FROM m:8b\nPARAMETER num_ctx 8192\n"


def facts(name: str) -> ModelFacts:
    return facts_from_card(*load_catalog().find(name))


def estimated(
    name: str, num_ctx: int, num_gpu: int | None = None, machine: Machine = RTX_3060
) -> tuple[FitEstimate, int | None]:
    options = RunOptions(num_ctx=num_ctx)
    free = estimate_fit(facts(name), machine, options)
    fixed = dataclasses.replace(options, num_gpu=num_gpu)
    estimate = estimate_fit(facts(name), machine, fixed, with_limits=False)
    return estimate, free.limits.max_num_ctx_on_gpu


def find(findings: tuple[LintFinding, ...], said: str) -> LintFinding:
    found = [each for each in findings if said in each.what]
    assert len(found) == 1, (said, findings)
    return found[0]


# Lines after GOOD (so the first is line 3), and the level, line and words of what is found.
CASES = {
    "unknown instruction": ("SYSTM hi", "error", 3, "'systm' is not an instruction"),
    "a parameter as instruction": ("temperature 0.7", "error", 3, "'temperature' is not"),
    "no value": ("SYSTEM", "error", 3, "SYSTEM has no value"),
    "two blanks": ("PARAMETER  seed 1", "error", 3, "right after one blank"),
    "message role": ("MESSAGE bot hi", "error", 3, "not 'bot'"),
    "open quotes": ('SYSTEM """hi', "error", 3, "does not end"),
    "unknown parameter": ("PARAMETER temprature 1", "error", 3, "no parameter temprature"),
    "upper case": ("PARAMETER Top_K 4", "error", 3, "no parameter Top_K"),
    "removed": ("PARAMETER num_gqa 8", "error", 3, "no parameter num_gqa"),
    "another program's word": ("PARAMETER n_ctx 8", "error", 3, "no parameter n_ctx"),
    "deprecated": ("PARAMETER use_mlock true", "warning", 3, "use_mlock is deprecated"),
    "wrong type": ("PARAMETER top_k forty", "error", 3, "takes a whole number, not 'forty'"),
    "not a truth value": ("PARAMETER use_mmap yes", "error", 3, "takes true or false"),
    "too hot": ("PARAMETER temperature 3", "warning", 3, "temperature 3 is out of range"),
    "negative": ("PARAMETER top_p -0.1", "warning", 3, "top_p -0.1 is out of range"),
    "no room": ("PARAMETER num_batch 0", "warning", 3, "num_batch 0 is out of range"),
    "set twice": ("PARAMETER num_ctx 4096", "warning", 2, "num_ctx is set again on line 3"),
    "given twice": ("SYSTEM a\nSYSTEM b", "warning", 3, "SYSTEM is given again on line 4"),
    "greedy": (
        "PARAMETER top_p 0.9\nPARAMETER temperature 0", "warning", 3, "temperature 0 and top_p",
    ),
    "one token": ("PARAMETER top_k 1", "note", 3, "top_k 1 leaves one token"),
    "both tight": ("PARAMETER min_p 0.2\nPARAMETER top_p 0.5", "note", 3, "both tight"),
    "strong penalty": ("PARAMETER repeat_penalty 1.5", "warning", 3, "is strong"),
    "penalties": (
        "PARAMETER repeat_penalty 1.1\nPARAMETER presence_penalty 1", "note", 3, "add up",
    ),
    "penalty without sight": (
        "PARAMETER presence_penalty 1\nPARAMETER repeat_last_n 0", "warning", 4, "no token",
    ),
    "long answer": ("PARAMETER num_predict 9000", "warning", 3, "more than num_ctx 8192"),
    "kept": ("PARAMETER num_keep 8192", "warning", 3, "leaves nothing of num_ctx"),
    "wide batch": ("PARAMETER num_batch 9000", "warning", 3, "num_batch 9000 is more"),
    "narrow batch": ("PARAMETER num_batch 8", "warning", 3, "num_batch 8 is small"),
    "threads": ("PARAMETER num_thread 8", "note", 3, "num_thread belongs to one machine"),
    "one GPU": ("PARAMETER main_gpu 0", "note", 3, "main_gpu keeps the model on one GPU"),
    "stop words": ('PARAMETER stop "a" "b"', "warning", 3, "several stop words"),
    "empty stop": ('PARAMETER stop ""', "warning", 3, "stop is empty"),
    "empty system": ('SYSTEM ""', "warning", 3, "SYSTEM is empty"),
    "two prompts": ("TEMPLATE t\nRENDERER r", "warning", 3, "both TEMPLATE and RENDERER"),
    "own template": ("TEMPLATE t", "note", 3, "TEMPLATE replaces"),
    "two systems": ("SYSTEM a\nMESSAGE system b", "note", 4, "MESSAGE system and SYSTEM"),
    "adapter": ("ADAPTER ./lora.gguf", "note", 3, "fits one base model"),
    "no version": ("REQUIRES soon", "error", 3, "'soon' is not a version"),
    "newer": ("REQUIRES 0.40", "warning", 3, "it requires Ollama 0.40, here is 0.33.0"),
    "two models": ("FROM n:1b", "warning", 1, "several FROM lines"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_found_once_on_its_line(case: str) -> None:
    lines, level, line, said = CASES[case]
    findings = lint_modelfile(GOOD + lines, server_version="0.33.0")
    found = find(findings, said)
    assert (found.level, found.line) == (level, line)
    assert found.why
    assert found.fix
    assert len(findings) == 1, findings


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "# a remark\nSYSTEM You are calm.",
        "PARAMETER temperature 0",
        "PARAMETER temperature 0.6\nPARAMETER top_p 0.95\nPARAMETER top_k 20\nPARAMETER min_p 0",
        "PARAMETER stop <|im_end|>\nPARAMETER stop </s>",
        'PARAMETER temperature "0.5"',
        "PARAMETER num_gpu -1\nPARAMETER num_predict -1\nPARAMETER seed 42",
        "MESSAGE user a\nMESSAGE assistant b\nLICENSE MIT\nLICENSE Apache",
        "REQUIRES v0.30.1-rc2",
        "PARAMETER repeat_penalty 1.1\nPARAMETER repeat_last_n 64",
    ],
)
def test_nothing_is_said_about_what_is_right(lines: str) -> None:
    assert lint_modelfile(GOOD + lines, server_version="0.33.0") == ()


def test_the_nearest_word_is_offered() -> None:
    text = GOOD + "SYSTM hi\nPARAMETER temprature 1\nTOP_K 4\nPARAMETER max_tokens 5\n"
    fixes = [each.fix for each in lint_modelfile(text)]
    assert fixes == [
        "SYSTEM hi",
        "did you mean PARAMETER temperature 1?",
        "PARAMETER top_k 4",
        "remove the line: Ollama's word is num_predict",
    ]


def test_a_text_without_quotes_is_one_finding() -> None:
    text = "FROM m:8b\nPARAMETER num_ctx 1024\nSYSTEM You are\na helper\nwho likes\nbirds\n"
    (found,) = lint_modelfile(text)
    assert found.line == 4
    assert '"""' in found.fix


def test_a_modelfile_without_a_model() -> None:
    assert find(lint_modelfile("PARAMETER num_ctx 8\n"), "no FROM line").level == "error"
    assert find(lint_modelfile(""), "no FROM line").line is None


@pytest.mark.parametrize(
    ("name", "level", "said"),
    [
        ("m", "note", "m has no tag"),
        ("gpt-oss:120b-cloud", "error", "runs on Ollama's servers"),
        ("bad name!", "error", "not a model name"),
    ],
)
def test_the_name_in_from_is_checked(name: str, level: str, said: str) -> None:
    found = find(lint_modelfile(f"FROM {name}\nPARAMETER num_ctx 8192"), said)
    assert (found.level, found.line) == (level, 1)


def test_what_the_lookups_said_is_passed_on() -> None:
    (found,) = lint_modelfile(GOOD, from_problem="No model 'm:8b' is known.")
    assert (found.level, found.line, found.what) == ("warning", 1, "No model 'm:8b' is known")
    text = "FROM ./m.gguf\nPARAMETER num_ctx 4096\n"
    (found,) = lint_modelfile(text, missing_files={"./m.gguf"})
    assert (found.level, found.what) == ("error", "FROM names ./m.gguf, which is missing")
    (found,) = lint_modelfile(text, from_problem="'./m.gguf' is no GGUF file.")
    assert (found.level, found.line) == ("warning", 1)


def test_a_context_above_the_trained_one_is_cut() -> None:
    text = "FROM gemma2:9b\nPARAMETER num_ctx 32768\n"
    found = find(lint_modelfile(text, facts=facts("gemma2:9b")), "above the 8192 tokens")
    assert (found.level, found.line, found.fix) == ("warning", 2, "PARAMETER num_ctx 8192")


def test_without_num_ctx_the_server_decides() -> None:
    model = facts("gemma2:9b")
    found = find(lint_modelfile("FROM gemma2:9b\n", facts=model), "num_ctx is not set")
    assert (found.level, found.line, found.fix) == ("warning", None, "PARAMETER num_ctx 8192")
    own = dataclasses.replace(model, default_num_ctx=4096)
    assert lint_modelfile("FROM gemma2:9b\n", facts=own) == ()
    assert lint_modelfile("FROM all-minilm:22m\n", facts=facts("all-minilm:22m")) == ()


def test_an_embedding_model_has_no_conversation() -> None:
    text = (
        "FROM nomic-embed-text:latest\nSYSTEM hi\nPARAMETER temperature 1\n"
        "PARAMETER stop x\nPARAMETER num_batch 512\nPARAMETER num_ctx 2048"
    )
    findings = lint_modelfile(text, facts=facts("nomic-embed-text"))
    assert find(findings, "SYSTEM has no meaning").line == 2
    assert find(findings, "temperature, stop has no meaning").line == 3
    assert len(findings) == 2


def test_what_does_not_stay_on_the_gpu_is_told_with_what_does() -> None:
    estimate, largest = estimated("qwen2.5:14b", 32_768)
    text = "FROM qwen2.5:14b\nPARAMETER num_ctx 32768\n"
    found = find(
        lint_modelfile(text, facts=facts("qwen2.5:14b"), estimate=estimate, largest_on_gpu=largest),
        "does not stay on the GPU",
    )
    assert largest is not None
    assert (found.level, found.line, found.fix) == ("warning", 2, f"PARAMETER num_ctx {largest}")
    assert "GiB too many" in found.why
    again, _ = estimated("qwen2.5:14b", largest)
    fixed = f"FROM qwen2.5:14b\nPARAMETER num_ctx {largest}\n"
    checked = lint_modelfile(
        fixed, facts=facts("qwen2.5:14b"), estimate=again, largest_on_gpu=largest
    )
    assert checked == ()


def test_a_model_that_is_too_big_at_any_context() -> None:
    estimate, largest = estimated("llama3.3:70b", 4096)
    text = "FROM llama3.3:70b\nPARAMETER num_ctx 4096\n"
    (found,) = lint_modelfile(text, estimate=estimate, largest_on_gpu=largest)
    assert (largest, found.level) == (None, "error" if found.what.count("fit") else "warning")
    assert "num_ctx" not in found.fix


def test_a_model_that_fits_nowhere_is_an_error() -> None:
    estimate, largest = estimated("deepseek-v3:671b", 4096)
    text = "FROM deepseek-v3:671b\nPARAMETER num_ctx 4096\n"
    (found,) = lint_modelfile(text, estimate=estimate, largest_on_gpu=largest)
    assert (found.level, found.line) == ("error", 2)
    assert "GiB are missing" in found.what


@pytest.mark.parametrize(
    ("num_gpu", "said"), [(0, "num_gpu 0 keeps the whole model"), (10, "num_gpu 10 leaves layers")]
)
def test_layers_kept_off_a_gpu_that_has_room(num_gpu: int, said: str) -> None:
    estimate, largest = estimated("llama3.1:8b", 8192, num_gpu)
    text = f"FROM llama3.1:8b\nPARAMETER num_ctx 8192\nPARAMETER num_gpu {num_gpu}\n"
    (found,) = lint_modelfile(text, estimate=estimate, largest_on_gpu=largest)
    assert said in found.what
    assert (found.level, found.line) == ("warning", 3)


def test_without_a_gpu_nothing_is_said_about_it() -> None:
    estimate, largest = estimated("llama3.1:8b", 8192, machine=CPU)
    text = "FROM llama3.1:8b\nPARAMETER num_ctx 8192\n"
    assert estimate.placement.verdict == "cpu"
    assert lint_modelfile(text, estimate=estimate, largest_on_gpu=largest) == ()
    zero, _ = estimated("llama3.1:8b", 8192, 0, CPU)
    text += "PARAMETER num_gpu 0\n"
    assert lint_modelfile(text, estimate=zero, largest_on_gpu=None) == ()


def test_a_record_gives_the_same_findings_without_lines() -> None:
    text = GOOD + "PARAMETER use_mlock true\nPARAMETER top_k 1\nSYSTEM hi\n"
    of_text, of_record = lint_modelfile(text), lint_modelfile(parse_modelfile(text))
    without_lines = [dataclasses.replace(each, line=None) for each in of_text]
    assert list(of_record) == without_lines
    assert len(of_record) == 2


def test_the_worst_comes_first() -> None:
    text = GOOD + "PARAMETER top_k 1\nPARAMETER mirostat 1\nPARAMETER nonsense 1\n"
    assert [each.level for each in lint_modelfile(text)] == list(LEVELS)


@pytest.mark.parametrize("name", sorted(DEPRECATED_PARAMETERS))
def test_every_deprecated_parameter_is_known_as_such(name: str) -> None:
    (found,) = lint_modelfile(f"{GOOD}PARAMETER {name} 1\n")
    assert (found.level, found.line) == ("warning", 3)
    assert "deprecated" in found.what


@pytest.mark.parametrize("name", sorted(KNOWN_PARAMETERS))
def test_the_ends_of_every_range_are_in_it(name: str) -> None:
    parameter = KNOWN_PARAMETERS[name]
    for end in (parameter.low, parameter.high):
        if end is not None:
            findings = lint_modelfile(f"FROM m:8b\nPARAMETER {name} {end:.10g}\n")
            assert not [each for each in findings if "out of range" in each.what]


_WORDS = st.sampled_from(
    ["FROM", "PARAMETER", "SYSTEM", "MESSAGE", "REQUIRES", "ADAPTER", "TEMPLATE", "nonsense",
     "m:8b", "num_ctx", "temperature", "stop", "0", "-1", "1e9", "8192", "x",
     '"', '"""', " ", "\n", "#"]
)  # fmt: skip


@given(st.lists(_WORDS, max_size=60).map(" ".join) | st.text())
def test_any_text_is_checked_without_a_failure(text: str) -> None:
    check: Callable[[str], tuple[LintFinding, ...]] = lint_modelfile
    for found in check(text):
        assert found.level in LEVELS
        assert found.what
        assert found.why
        assert found.fix
        assert "\n" not in found.what + found.fix
