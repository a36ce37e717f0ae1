"""Model names are read exactly as Ollama reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import ModelNameError
from assistant.models.names import (
    ModelName,
    parse_model_name,
    parse_quantization,
    render_model_name,
    split_tag,
)

_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def _part(extra: str, longest: int = 80) -> st.SearchStrategy[str]:
    return st.builds(
        "".join,
        st.tuples(st.sampled_from(_FIRST), st.text(alphabet=_FIRST + extra, max_size=longest - 1)),
    )


_NAMES = st.builds(
    ModelName,
    model=_part("-_."),
    tag=_part("-_."),
    namespace=_part("-_"),
    host=st.one_of(
        st.just("registry.ollama.ai"),
        st.just("hf.co"),
        st.just("localhost:5000"),
        _part("-_.:", longest=350),
    ),
    scheme=st.sampled_from(["https", "http"]),
)


@given(_NAMES)
def test_parse_and_render_are_inverse(name: ModelName) -> None:
    parsed = parse_model_name(render_model_name(name))
    assert parsed.key == name.key
    assert parsed.scheme == name.scheme
    assert (parsed.model, parsed.tag) == (name.model, name.tag)
    assert render_model_name(parsed) == render_model_name(name)


def _parse_or_error(text: str) -> ModelName | ModelNameError:
    try:
        return parse_model_name(text)
    except ModelNameError as error:
        return error


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_a_name_error(text: str) -> None:
    result = _parse_or_error(text)
    if isinstance(result, ModelNameError):
        assert result.exit_code == 2
        assert result.hint
    else:
        assert parse_model_name(result.render()).key == result.key


@pytest.mark.parametrize(
    ("text", "host", "namespace", "model", "tag"),
    [
        ("llama3.1", "registry.ollama.ai", "library", "llama3.1", "latest"),
        ("llama3.1:8b", "registry.ollama.ai", "library", "llama3.1", "8b"),
        ("mario/llama:Q4", "registry.ollama.ai", "mario", "llama", "Q4"),
        ("hf.co/user/repo:Q5_K_M", "hf.co", "user", "repo", "Q5_K_M"),
        ("huggingface.co/user/Repo-GGUF", "huggingface.co", "user", "Repo-GGUF", "latest"),
        ("https://hf.co/user/repo", "hf.co", "user", "repo", "latest"),
        ("localhost:5000/a/b:c", "localhost:5000", "a", "b", "c"),
        ("localhost:5000/a/b", "localhost:5000", "a", "b", "latest"),
        ("_x", "registry.ollama.ai", "library", "_x", "latest"),
    ],
)
def test_parts_of_a_name(text: str, host: str, namespace: str, model: str, tag: str) -> None:
    name = parse_model_name(text)
    assert (name.host, name.namespace, name.model, name.tag) == (host, namespace, model, tag)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the model is missing"),
        ("llama3:", "the tag is missing"),
        (":8b", "the model is missing"),
        ("/x", "the namespace is missing"),
        ("a//b", "the namespace is missing"),
        ("a/b/c/d", "number of parts"),
        ("-x", "must begin with a letter or a digit"),
        ("x:-8b", "must begin with a letter or a digit"),
        ("my.ns/model", "cannot contain '.'"),
        ("llama 3", "cannot contain ' '"),
        ("x:8b+1", "cannot contain '+'"),
        ("x@sha256:00", "does not take a digest"),
        ("ftp://h/n/m", "not http or https"),
        ("https://model", "number of parts"),
        ("m" * 81, "longer than 80"),
        ("m:" + "t" * 81, "longer than 80"),
        ("h" * 351 + "/n/m", "longer than 350"),
        ("modèle", "cannot contain 'è'"),
    ],
)
def test_bad_names_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ModelNameError, match="is not a model name") as caught:
        parse_model_name(text)
    assert says in caught.value.message


def test_case_does_not_tell_names_apart() -> None:
    assert parse_model_name("LLaMA3.1:8B").key == parse_model_name("llama3.1:8b").key
    assert parse_model_name("HF.co/User/Repo").is_hugging_face


def test_library_names_are_known_as_such() -> None:
    assert parse_model_name("llama3").is_library
    assert parse_model_name("ollama.com/library/llama3").is_library
    assert not parse_model_name("mario/llama3").is_library
    assert not parse_model_name("hf.co/library/llama3").is_library


def test_another_tag_of_the_same_model() -> None:
    assert parse_model_name("hf.co/a/b:Q4_K_M").with_tag("Q8_0").render() == "hf.co/a/b:Q8_0"


@pytest.mark.parametrize(
    ("tag", "size", "variant", "quantization"),
    [
        ("latest", None, (), None),
        ("8b", "8b", (), None),
        ("8b-instruct-q5_K_M", "8b", ("instruct",), "Q5_K_M"),
        ("8x7b-instruct-v0.1-q4_0", "8x7b", ("instruct", "v0.1"), "Q4_0"),
        ("30b-a3b-q4_K_M", "30b", ("a3b",), "Q4_K_M"),
        ("e4b-it-qat", "e4b", ("it", "qat"), None),
        ("1b-it-fp16", "1b", ("it",), "F16"),
        ("335m-v1-fp16", "335m", ("v1",), "F16"),
        ("300m-qat-q8_0", "300m", ("qat",), "Q8_0"),
        ("tiny-h", None, ("tiny", "h"), None),
    ],
)
def test_words_of_a_tag(
    tag: str, size: str | None, variant: tuple[str, ...], quantization: str | None
) -> None:
    words = split_tag(tag)
    assert (words.size, words.variant, words.quantization) == (size, variant, quantization)


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("q8", "Q8_0"), ("Q8_0", "Q8_0"), ("8-bit", "Q8_0"), ("8 bit", "Q8_0"), ("int8", "Q8_0"),
        ("q4", "Q4_K_M"), ("4-bit", "Q4_K_M"), ("4bits", "Q4_K_M"), ("q4_k_m", "Q4_K_M"),
        ("Q4-K-M", "Q4_K_M"), ("q4km", "Q4_K_M"), ("q4_k", "Q4_K_M"), ("q4_K_S", "Q4_K_S"),
        ("q4_0", "Q4_0"), ("q4_1", "Q4_1"), ("q5", "Q5_K_M"), ("q6", "Q6_K"), ("q6_k", "Q6_K"),
        ("q3", "Q3_K_M"), ("q3_k_l", "Q3_K_L"), ("q2", "Q2_K"), ("iq4_xs", "IQ4_XS"),
        ("iq2_xxs", "IQ2_XXS"), ("fp16", "F16"), ("f16", "F16"), ("16-bit", "F16"),
        ("bf16", "BF16"), ("fp32", "F32"), ("mxfp4", "MXFP4"), ("tq1_0", "TQ1_0"),
    ],
)  # fmt: skip
def test_words_for_a_quantization_level(word: str, level: str) -> None:
    assert parse_quantization(word) == level


@pytest.mark.parametrize(
    "word", ["", "q7", "q", "qwen", "q4_0_m", "8gb", "7b", "q8_k_m_s", "9-bit"]
)
def test_words_that_are_no_level(word: str) -> None:
    assert parse_quantization(word) is None


@pytest.mark.parametrize(
    "level", ["Q2_K", "Q3_K_S", "Q4_0", "Q4_K_M", "Q5_1", "Q6_K", "Q8_0", "F16", "BF16", "IQ3_XXS"]
)
def test_a_levels_own_name_is_kept(level: str) -> None:
    assert parse_quantization(level) == level
    assert parse_quantization(level.lower()) == level
