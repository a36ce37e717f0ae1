"""Model names as Ollama reads them, and the words inside a tag.

The grammar is that of Ollama's `types/model/name.go`:
`[scheme://][host/][namespace/]model[:tag]`, with `registry.ollama.ai`, `library` and
`latest` for the parts left out. Names keep the case they were typed in and compare without
it. Ollama no longer accepts `@digest`, so neither do we.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from assistant.errors import ModelNameError

DEFAULT_SCHEME: Final = "https"
DEFAULT_HOST: Final = "registry.ollama.ai"
DEFAULT_NAMESPACE: Final = "library"
DEFAULT_TAG: Final = "latest"
HUGGING_FACE_HOSTS: Final = frozenset({"hf.co", "huggingface.co"})
_LIBRARY_HOSTS: Final = frozenset({DEFAULT_HOST, "ollama.com", "www.ollama.com"})

_MAX_LENGTH: Final = {"host": 350, "namespace": 80, "model": 80, "tag": 80}
_EXTRA_CHARACTERS: Final = {"host": "-_.:", "namespace": "-_", "model": "-_.", "tag": "-_."}
_ALPHANUMERIC: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")

_SIZE = re.compile(r"(?:\d+x)?e?\d+(?:\.\d+)?[bm]", re.IGNORECASE)
_QUANTIZATION = re.compile(
    r"(?:i?q\d(?:_[01k](?:_(?:xs|xxs|[sml]))?|_nl|_xs|_xxs|_[sm])?|tq[12]_0|mxfp[48]|nvfp4"
    r"|b?f(?:p)?16|f(?:p)?32|int[48]|qat)",
    re.IGNORECASE,
)
_USUAL_LEVELS: Final = {
    "2": "Q2_K",
    "3": "Q3_K_M",
    "4": "Q4_K_M",
    "5": "Q5_K_M",
    "6": "Q6_K",
    "8": "Q8_0",
    "16": "F16",
    "32": "F32",
}


@dataclass(frozen=True, slots=True)
class ModelName:
    """A fully qualified model name; `render` gives back the shortest text for it."""

    model: str
    tag: str = DEFAULT_TAG
    namespace: str = DEFAULT_NAMESPACE
    host: str = DEFAULT_HOST
    scheme: str = DEFAULT_SCHEME

    @property
    def is_hugging_face(self) -> bool:
        """True for `hf.co/user/repo` and `huggingface.co/user/repo`."""
        return self.host.lower() in HUGGING_FACE_HOSTS

    @property
    def is_library(self) -> bool:
        """True for a model of Ollama's own library."""
        return self.host.lower() in _LIBRARY_HOSTS and self.namespace.lower() == DEFAULT_NAMESPACE

    @property
    def key(self) -> str:
        """The full name in lower case, for comparing names as Ollama compares them."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}".lower()

    def render(self) -> str:
        """Return the shortest text that `parse_model_name` reads as this name, with its tag."""
        text = f"{self.model}:{self.tag}"
        if self.scheme != DEFAULT_SCHEME:
            return f"{self.scheme}://{self.host}/{self.namespace}/{text}"
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{text}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{text}"
        return text

    def with_tag(self, tag: str) -> ModelName:
        """Return the same model under another tag."""
        return ModelName(self.model, tag, self.namespace, self.host, self.scheme)

    def __str__(self) -> str:
        return self.render()


@dataclass(frozen=True, slots=True)
class TagWords:
    """The words of a tag: `8b-instruct-q5_K_M` is size 8b, variant instruct, level Q5_K_M."""

    size: str | None
    variant: tuple[str, ...]
    quantization: str | None


def parse_model_name(text: str) -> ModelName:
    """Return the name in `text`, with Ollama's defaults for the parts left out.

    Raises:
        ModelNameError: the text is not a name that Ollama would accept.
    """
    if "@" in text:
        raise ModelNameError(
            f"{text!r} is not a model name: Ollama does not take a digest in a name.",
            hint="Leave out the part from the @ on.",
        )
    rest, tag = text, DEFAULT_TAG
    if text.rfind(":") > text.rfind("/"):
        rest, _, tag = text.rpartition(":")
    scheme, separator, path = rest.partition("://")
    if not separator:
        scheme, path = DEFAULT_SCHEME, rest
    elif scheme not in {"http", "https"}:
        raise ModelNameError(
            f"{text!r} is not a model name: {scheme!r} is not http or https.",
            hint="Write it as name:tag, namespace/name:tag or hf.co/user/repository:tag.",
        )
    parts = path.split("/")
    if len(parts) > 3 or (separator and len(parts) != 3):
        raise _bad_name(text, "it has the wrong number of parts")
    model = parts[-1]
    namespace = parts[-2] if len(parts) > 1 else DEFAULT_NAMESPACE
    host = parts[-3] if len(parts) > 2 else DEFAULT_HOST
    for kind, part in (("host", host), ("namespace", namespace), ("model", model), ("tag", tag)):
        _check_part(text, kind, part)
    return ModelName(model, tag, namespace, host, scheme)


def render_model_name(name: ModelName) -> str:
    """Return the shortest text for `name`; the inverse of `parse_model_name`."""
    return name.render()


def split_tag(tag: str) -> TagWords:
    """Return the size, variant and quantization words of a tag.

    A tag without such words (`latest`) gives an empty `TagWords`.
    """
    size: str | None = None
    quantization: str | None = None
    variant: list[str] = []
    for word in tag.split("-"):
        if size is None and _SIZE.fullmatch(word):
            size = word.lower()
        elif _QUANTIZATION.fullmatch(word):
            quantization = parse_quantization(word) or quantization
            if word.lower() == "qat":
                variant.append("qat")
        elif word and word != DEFAULT_TAG:
            variant.append(word.lower())
    return TagWords(size, tuple(variant), quantization)


def parse_quantization(text: str) -> str | None:
    """Return the usual name of a quantization level, or None when the text is not one.

    A bare level takes its usual form: `q8` is `Q8_0`, `q6` is `Q6_K`, `4-bit` is `Q4_K_M`.
    Float types are written as llama.cpp writes them: `fp16` is `F16`.
    """
    word = text.strip().lower().replace(" ", "").replace("-", "_")
    if not word:
        return None
    bits = re.fullmatch(r"(?:int)?_?(\d+)_?bits?|int_?(\d+)", word)
    if bits:
        return _USUAL_LEVELS.get(bits[1] or bits[2])
    floats = re.fullmatch(r"(b?)f(?:p|loat)?_?(16|32)", word)
    if floats:
        return f"{'BF' if floats[1] else 'F'}{floats[2]}"
    if word in {"half", "full_precision", "unquantized", "fullprecision"}:
        return "F16"
    if word in {"mxfp4", "nvfp4", "mxfp8"}:
        return word.upper()
    return _quantization_level(word)


def _quantization_level(word: str) -> str | None:
    """Return the level for words such as `q4_k_m`, `q4km`, `q5k`, `iq4_xs`, `q8`."""
    ternary = re.fullmatch(r"tq([12])_?0", word)
    if ternary:
        return f"TQ{ternary[1]}_0"
    match = re.fullmatch(r"(i?)q(\d)_?(k|0|1|nl|xxs|xs|s|m)?_?(xs|xxs|s|m|l)?", word)
    if match is None:
        return None
    prefix, digit, kind, mix = match[1].upper(), match[2], match[3], match[4]
    if prefix:
        return f"IQ{digit}_{(kind or 'xs').upper()}" if not mix else None
    if kind == "k":
        if mix:
            return f"Q{digit}_K_{mix.upper()}"
        usual = _USUAL_LEVELS.get(digit, "")
        return usual if "_K" in usual else None
    if kind in {"0", "1"}:
        return None if mix else f"Q{digit}_{kind}"
    if kind in {"s", "m"} and not mix:
        return f"Q{digit}_K_{kind.upper()}"
    if kind is None and mix is None:
        return _USUAL_LEVELS.get(digit)
    return None


def _check_part(text: str, kind: str, part: str) -> None:
    if not part:
        raise _bad_name(text, f"the {kind} is missing")
    if len(part) > _MAX_LENGTH[kind]:
        raise _bad_name(text, f"the {kind} is longer than {_MAX_LENGTH[kind]} characters")
    if part[0] not in _ALPHANUMERIC:
        raise _bad_name(text, f"the {kind} {part!r} must begin with a letter or a digit")
    extra = _EXTRA_CHARACTERS[kind]
    wrong = next((c for c in part if c not in _ALPHANUMERIC and c not in extra), None)
    if wrong is not None:
        raise _bad_name(text, f"the {kind} {part!r} cannot contain {wrong!r}")


def _bad_name(text: str, why: str) -> ModelNameError:
    shown = text if len(text) <= 120 else text[:117] + "..."
    return ModelNameError(
        f"{shown!r} is not a model name: {why}.",
        hint="Write it as name:tag, namespace/name:tag or hf.co/user/repository:tag.",
    )
