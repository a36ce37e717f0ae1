"""The parameters of a Modelfile: names, types, what they are for, and what they may be.

From Ollama's `api/types.go` (`Options`, `Runner`, `DefaultOptions`, `FormatParams`), checked in
August 2026. The server takes any value at create and fails when the model is first used, so
types are checked here, before anything is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

ParameterKind = Literal["int", "float", "bool", "strings"]
ParameterValue = int | float | bool | str
ParameterWhen = Literal["load", "sampling"]

LARGEST_INT: Final = 2**31 - 1
"""llama.cpp's counts are 32-bit integers."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `when` says whether a new value loads the model again.

    `low` and `high` bound the values that make sense, both included; None leaves a side open.
    `default` is what Ollama takes when nobody says otherwise, in words.
    """

    name: str
    kind: ParameterKind
    when: ParameterWhen
    low: float | None = None
    high: float | None = None
    default: str = ""

    @property
    def repeats(self) -> bool:
        """True when several lines add up instead of the last one winning."""
        return self.kind == "strings"


# fmt: off
KNOWN_PARAMETERS: Final[dict[str, Parameter]] = {
    parameter.name: parameter
    for parameter in (
        Parameter("num_ctx", "int", "load", 4, LARGEST_INT, "by the size of the GPU memory"),
        Parameter("num_batch", "int", "load", 1, LARGEST_INT, "512 to 2048 by the context"),
        Parameter("num_gpu", "int", "load", -1, LARGEST_INT, "as many layers as fit"),
        Parameter("main_gpu", "int", "load", 0, 255, "the GPU with the most free memory"),
        Parameter("use_mmap", "bool", "load", default="by the backend and the free memory"),
        Parameter("num_thread", "int", "load", 0, 4096, "the physical cores"),
        Parameter("draft_num_predict", "int", "load", 0, 64, "4 with a draft model"),
        Parameter("num_keep", "int", "sampling", -1, LARGEST_INT, "4"),
        Parameter("seed", "int", "sampling", -1, None, "a new one each time"),
        Parameter("num_predict", "int", "sampling", -2, LARGEST_INT, "no limit"),
        Parameter("top_k", "int", "sampling", 0, LARGEST_INT, "40"),
        Parameter("top_p", "float", "sampling", 0.0, 1.0, "0.9"),
        Parameter("min_p", "float", "sampling", 0.0, 1.0, "0"),
        Parameter("typical_p", "float", "sampling", 0.0, 1.0, "1"),
        Parameter("repeat_last_n", "int", "sampling", -1, LARGEST_INT, "64"),
        Parameter("temperature", "float", "sampling", 0.0, 2.0, "0.8"),
        Parameter("repeat_penalty", "float", "sampling", 0.0, 2.0, "1"),
        Parameter("presence_penalty", "float", "sampling", -2.0, 2.0, "0"),
        Parameter("frequency_penalty", "float", "sampling", -2.0, 2.0, "0"),
        Parameter("stop", "strings", "sampling", default="what the template needs"),
    )
}
"""Every parameter that Ollama 0.33 honours."""

DEPRECATED_PARAMETERS: Final = frozenset({
    "penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock",
    "mirostat", "mirostat_tau", "mirostat_eta",
})
"""`ollama create` drops these with a warning (`parser/parser.go`)."""

REMOVED_PARAMETERS: Final[dict[str, str]] = {
    "numa": "Ollama decides it",
    "num_gqa": "the GGUF file says it",
    "tfs_z": "tail-free sampling is gone from llama.cpp; min_p does a similar thing",
    "rope_frequency_base": "the GGUF file says it",
    "rope_frequency_scale": "the GGUF file says it",
    "embedding_only": "the server knows embedding models by their architecture",
    "keep_alive": "it belongs to a request, or to OLLAMA_KEEP_ALIVE",
    "kv_cache_type": "it is a setting of the server: OLLAMA_KV_CACHE_TYPE",
    "flash_attention": "it is a setting of the server: OLLAMA_FLASH_ATTENTION",
    "num_parallel": "it is a setting of the server: OLLAMA_NUM_PARALLEL",
    "think": "it belongs to a request",
    "format": "it belongs to a request",
    "max_tokens": "Ollama's word is num_predict",
    "max_new_tokens": "Ollama's word is num_predict",
    "repetition_penalty": "Ollama's word is repeat_penalty",
    "context_length": "Ollama's word is num_ctx",
    "n_ctx": "Ollama's word is num_ctx",
    "n_gpu_layers": "Ollama's word is num_gpu",
    "ngl": "Ollama's word is num_gpu",
}
"""Words of older versions and of other programs; `ollama create` refuses them."""
# fmt: on

_INT: Final = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_LARGEST_FLOAT: Final = 3.4028234663852886e38
"""Go reads a 32-bit float and refuses what is beyond it."""

KIND_WORDS: Final[dict[ParameterKind, str]] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "strings": "text",
}


def typed_value(parameter: Parameter, text: str) -> ParameterValue:
    """Return a parameter's value, written in `text`, in its own type.

    Accepts what Go's `strconv` accepts, hexadecimal floats, infinities and NaN aside.

    Raises:
        ValueError: the text is no such value.
    """
    if parameter.kind == "strings":
        return text
    if parameter.kind == "bool" and text in _TRUE | _FALSE:
        return text in _TRUE
    if parameter.kind == "int" and _INT.fullmatch(text):
        return int(text)
    if parameter.kind == "float" and _FLOAT.fullmatch(text):
        value = float(text)
        if abs(value) <= _LARGEST_FLOAT:
            return value
    raise ValueError(f"{text!r} is not {KIND_WORDS[parameter.kind]}")
