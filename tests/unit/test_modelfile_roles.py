"""Modelfiles of roles: the templates, the makers' sampling values, the reasons in the head."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import UsageError
from assistant.models.catalog import load_catalog
from assistant.ollama.modelfile import Modelfile, parse_modelfile, render_modelfile
from assistant.ollama.modelfile_parameters import KNOWN_PARAMETERS, typed_value
from assistant.paths import bundled_folder
from assistant.provision.lint import lint_modelfile
from assistant.provision.role_modelfile import COMMENT_WIDTH, plain_modelfile, role_modelfile
from assistant.provision.sampling import known_families, sampling_for
from assistant.recommend.roles import ROLE_NAMES

FAMILIES = (None, "qwen2.5", *known_families())


def made(role: str, **given_values: Any) -> Modelfile:
    values: dict[str, Any] = {
        "model": "m:8b", "num_ctx": 8192, "why_num_ctx": "as asked", "family": None,
    } | given_values  # fmt: skip
    return role_modelfile(role, **values)


def test_every_role_has_one_template_and_no_other_has() -> None:
    files = {path.stem for path in bundled_folder("modelfiles").glob("*.Modelfile")}
    assert files == set(ROLE_NAMES)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("thinking", [True, False])
def test_every_modelfile_is_clean_and_comes_back_the_same(
    family: str | None, thinking: bool
) -> None:
    for role in ROLE_NAMES:
        modelfile = made(role, family=family, thinking=thinking, num_gpu=99, why_num_gpu="it fits",
                         num_batch=512, licence="MIT")  # fmt: skip
        text = render_modelfile(modelfile)
        assert parse_modelfile(text) == modelfile
        assert lint_modelfile(text) == ()
        assert "$" not in text
        assert max(map(len, text.splitlines())) <= max(COMMENT_WIDTH, 80)


def test_every_value_has_its_reason_in_the_head() -> None:
    modelfile = made(
        "code", family="qwen3.5", thinking=True, num_ctx=32_768, why_num_ctx="48k would not fit",
        num_gpu=99, why_num_gpu="every layer fits", num_batch=512, licence="Apache 2.0",
    )  # fmt: skip
    head = " ".join(" ".join(modelfile.comments).split())
    assert head.startswith("code with m:8b: ")
    assert "num_ctx 32768: 48k would not fit" in head
    assert "num_gpu 99: every layer fits" in head
    assert "Apache 2.0" in head
    for name, value in modelfile.parameters:
        assert f"{name} {value}" in head
    assert "https://huggingface.co/Qwen/Qwen3.5-27B" in head


def test_only_what_is_given_is_set() -> None:
    modelfile = made("reasoning")
    assert modelfile.parameters == (("num_ctx", "8192"),)
    assert (modelfile.system, modelfile.template) == (None, None)
    head = "\n".join(modelfile.comments)
    assert not re.search("num_gpu|num_batch|licence|https|: *$", head, re.MULTILINE)


def test_embeddings_have_no_prompt_and_nothing_is_sampled() -> None:
    for family in FAMILIES:
        modelfile = made("embeddings", family=family, thinking=True)
        assert modelfile.parameters == (("num_ctx", "8192"),)
        assert (modelfile.system, modelfile.messages) == (None, ())


def test_a_maker_that_advises_against_a_system_prompt_is_heeded() -> None:
    for role in ROLE_NAMES:
        assert made(role, family="deepseek-r1", thinking=True).system is None
    head = made("chat", family="deepseek-r1", thinking=True).comments
    assert "system prompt: none, because the maker advises against one" in head
    assert made("chat", family="qwen3", thinking=True).system


def test_a_synonym_is_the_role_and_an_unknown_one_is_refused() -> None:
    assert made("coding") == made("code")
    with pytest.raises(UsageError):
        made("cooking")


def test_a_model_without_a_role_keeps_the_makers_values_only() -> None:
    modelfile = plain_modelfile(
        "llama3.1:8b", num_ctx=4096, why_num_ctx="as asked", family="llama3.1"
    )
    assert dict(modelfile.parameters) == {"num_ctx": "4096", "temperature": "0.6", "top_p": "0.9"}
    assert modelfile.system is None
    unknown = plain_modelfile("m", num_ctx=4096, why_num_ctx="as asked", family=None)
    assert unknown.parameters == (("num_ctx", "4096"),)


@pytest.mark.parametrize(
    ("family", "role", "thinking", "expected"),
    [
        # by the maker, per mode
        ("qwen3", "chat", True, "temperature 0.6, top_p 0.95, top_k 20, min_p 0"),
        ("qwen3", "chat", False, "temperature 0.7, top_p 0.8, top_k 20, min_p 0"),
        ("qwen3.6", "code", True,
         "temperature 0.6, top_p 0.95, top_k 20, min_p 0, presence_penalty 0"),
        ("qwen3.6", "chat", True,
         "temperature 1, top_p 0.95, top_k 20, min_p 0, presence_penalty 0"),
        ("gemma4", "writing", True, "temperature 1, top_p 0.95, top_k 64"),
        # always thinking, whatever was said
        ("gpt-oss", "extract", False, "temperature 1, top_p 1"),
        # a model that thinks is never made colder
        ("qwen3", "extract", True, "temperature 0.6, top_p 0.95, top_k 20, min_p 0"),
        (None, "code", True, ""),
        # roles that follow a source lower what the maker says, never raise it
        ("gemma3", "rag", False, "temperature 0.2, top_p 0.95, top_k 64, min_p 0"),
        ("gemma3", "extract", False, "temperature 0"),
        ("mistral-small3.2", "rag", False, "temperature 0.15"),
        # others keep the maker's
        ("llama3.1", "code", False, "temperature 0.6, top_p 0.9"),
        ("llama3.1", "chat", False, "temperature 0.6, top_p 0.9"),
        # without a maker's value the role's own
        (None, "chat", False, "temperature 0.7"),
        (None, "code", False, "temperature 0.2"),
        ("qwen2.5-coder", "code", False, "temperature 0.2"),
        (None, "extract", False, "temperature 0"),
        (None, "reasoning", False, ""),
        (None, "vision", False, ""),
    ],
)  # fmt: skip
def test_sampling_follows_the_maker_then_the_role(
    family: str | None, role: str, thinking: bool, expected: str
) -> None:
    sampling = sampling_for(family=family, role=role, thinking=thinking)
    assert ", ".join(f"{name} {value}" for name, value in sampling.parameters) == expected
    assert sampling.why


def test_every_family_is_in_the_catalog_with_a_page_and_honoured_values() -> None:
    catalog = {card.family for card in load_catalog().cards}
    for family in known_families():
        assert family in catalog
        for thinking in (True, False):
            sampling = sampling_for(family=family, role=None, thinking=thinking)
            assert urlsplit(sampling.source or "").scheme == "https"
            assert sampling.parameters
            for name, text in sampling.parameters:
                parameter = KNOWN_PARAMETERS[name]
                value = typed_value(parameter, text)
                assert parameter.when == "sampling"
                assert not isinstance(value, str)
                assert (parameter.low or 0) <= value <= (parameter.high or 0)


@given(
    model=st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip()),
    why=st.text(),
    licence=st.none() | st.text(),
    num_ctx=st.integers(4, 2**31 - 1),
)
def test_no_text_can_break_out_of_its_place(
    model: str, why: str, licence: str | None, num_ctx: int
) -> None:
    modelfile = made(
        "chat", model=model, num_ctx=num_ctx, why_num_ctx=why, licence=licence, why_num_gpu=why,
        num_gpu=1,
    )  # fmt: skip
    usual = made("chat", num_ctx=num_ctx, num_gpu=1)
    assert modelfile.from_ == model
    assert modelfile.parameters == usual.parameters
    assert modelfile.system == usual.system
    assert parse_modelfile(render_modelfile(modelfile)) == modelfile
