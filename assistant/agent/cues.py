"""The words by which people say what they want: roles, languages, licences, context lengths.

Pure text in, values out. Patterns are compiled when first used, since only `ask` needs them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, Literal

from assistant.fit.records import KvCacheType
from assistant.recommend.records import Role

ROLE_WORDS: Final[tuple[tuple[Role, str], ...]] = (
    ("embeddings", r"embed(?:ding)?s?|vector(?:s| search| database| store)"),
    (
        "code",
        r"cod(?:e|ing)\b(?! ?llama| ?gemma)|programm\w*|python|javascript|typescript|rust|java\b"
        r"|c\+\+|autocomplet\w*|fill[- ]in|fim\b|copilot|developer|refactor\w*|unit tests?|sql",
    ),
    (
        "vision",
        r"vision|images?|photos?|pictures?|screenshots?|ocr|multimodal|scan(?:s|ned|ning)?"
        r"|invoices?|receipts?|handwrit\w*|charts?|diagrams?",
    ),
    ("translation", r"translat\w*"),
    ("summarize", r"summar\w*|minutes of|tl;?dr"),
    (
        "extract",
        r"extract\w*|structured (?:output|data)|json|classif\w*|categori[sz]\w*|categories"
        r"|label\w*",
    ),
    ("tools", r"agents?\b|agentic|tool[- ]?(?:calls?|calling|use)|function[- ]?call\w*"),
    ("rag", r"\brag\b|retrieval|my (?:documents|docs|pdfs|notes)|knowledge base"),
    (
        "writing",
        r"stor(?:y|ies)|creative|novels?|fiction|role ?play\w*|poe(?:m|try)|essays?"
        r"|writing|writer|blog",
    ),
    (
        "reasoning",
        r"reason\w*|math\w*|stem\b|logic|physics|science|homework|thinking model",
    ),
    ("chat", r"chat\w*|assistant|general(?: purpose)?|conversation|bot\b|everyday|all-?round"),
)

LANGUAGES: Final[dict[str, str]] = {
    "english": "en", "german": "de", "deutsch": "de", "french": "fr", "italian": "it",
    "spanish": "es", "portuguese": "pt", "dutch": "nl", "swedish": "sv", "danish": "da",
    "norwegian": "no", "finnish": "fi", "polish": "pl", "czech": "cs", "slovak": "sk",
    "hungarian": "hu", "romanian": "ro", "bulgarian": "bg", "greek": "el", "turkish": "tr",
    "russian": "ru", "ukrainian": "uk", "arabic": "ar", "hebrew": "he", "persian": "fa",
    "farsi": "fa", "hindi": "hi", "bengali": "bn", "urdu": "ur", "tamil": "ta", "telugu": "te",
    "thai": "th", "vietnamese": "vi", "indonesian": "id", "malay": "ms", "tagalog": "tl",
    "filipino": "tl", "chinese": "zh", "mandarin": "zh", "cantonese": "zh", "japanese": "ja",
    "korean": "ko", "swahili": "sw", "catalan": "ca", "croatian": "hr", "serbian": "sr",
    "slovenian": "sl", "estonian": "et", "latvian": "lv", "lithuanian": "lt",
}  # fmt: skip

BENCHMARKS: Final = (
    r"mmlu(?:[- ]pro)?|gsm-?8k|human-?eval|swe-?bench|gpqa|arena(?: elo)?|\belo\b|aime|math-?500"
    r"|ifeval"
    r"|bfcl|mteb|livecodebench|mmmu|hellaswag|truthfulqa|bbh|\barc\b|mt-?bench|alpaca-?eval"
)
"""Names of benchmarks, as people write them."""

_FIELD_WORDS: Final = frozenset(
    "model models llm llms slm ai gpu gpus vram ram cpu cpus npu cuda rocm vulkan metal quant "
    "quants token tokens tokenizer context ctx num_ctx ollama gguf ggml gptq awq exl2 exl3 "
    "onnx safetensors pytorch mlx lora qlora finetune finetuning finetuned rag vector vectors "
    "apache mit mmlu perplexity kv cache caches temperature top_p top_k sampling agent agents "
    "tool tools template templates chatml modelfile modelfiles moe mixture expert experts mac "
    "macs macbook vllm webui api json digest digests sha256 rollback canary cutover shadow "
    "baseline metadata weights precision fp16 bf16 f16 fp32 fp8 int4 int8 imatrix attention "
    "layer layers speculative flash keepalive keep_alive local locally uncensored "
    "multilingual huggingface hf docker throughput rtx gtx radeon raspberry transformer "
    "transformers bpw ppl ttft latency drift registry tag tags pull t/s tok/s tokens/s "
    "llama.cpp llamacpp parallel".split()
)
_FIELD_STEMS: Final = (
    r"\b(?:prompt|quanti[sz]|embed|retriev|chunk|rerank|licen[cs]|benchmark|inferenc|offload|hallucinat"
    r"|fine-?tun|param|distill|prun(?:e|ing)|migrat|evaluat|k-?quant|function.call|system prompt"
    r"|lm studio|apple silicon|blue.green|a/b|ab test|test set|chat ?bot|hugging face|roll ?back"
    r"|\d ?-?bits?\b|bits per weight|i?q[1-8](?:_\w+)?\b)"
)
"""Words that only talk about language models, and the computers they run on, has."""

_FAST: Final = (
    r"\bfast(?:est|er)?\b|\bsmall(?:er|est)?\b|\blight(?:er|est|weight)\b|\bquick\w*|\bspeedy?\b"
    r"|\blow latency\b|\bsnappy\b"
)
_KV_TYPES: Final[tuple[KvCacheType, ...]] = ("q8_0", "q4_0", "q5_1", "q5_0", "q4_1", "f16", "f32")


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def has(pattern: str, text: str) -> bool:
    """Return True when the case-insensitive `pattern` occurs in `text`."""
    return _pattern(pattern).search(text) is not None


def find_roles(text: str) -> tuple[Role, ...]:
    """Return the roles that `text` names, most specific first."""
    return tuple(role for role, words in ROLE_WORDS if has(rf"\b(?:{words})", text))


def find_languages(text: str) -> tuple[str, ...]:
    """Return the human languages named in `text` as two-letter codes, in order of mention.

    `multilingual` without a language gives nothing: it narrows nothing down.
    """
    words = re.findall(r"[a-z]+", text.lower())
    return tuple(dict.fromkeys(LANGUAGES[word] for word in words if word in LANGUAGES))


def wants_commercial(text: str) -> bool:
    """Return True when the use is commercial."""
    return has(
        r"\bcommercial\w*|\bcompany\b|\bbusiness\b|\bfor work\b|\bat work\b|\benterprise"
        r"|\bsell\b|\bpaid\b|\brestricted\b|\bresearch[- ]only\b|\b(?:web)?shop\b|\bmy (?:startup|product|customers?|apps?|saas|website|service)\b|\bclients?\b",
        text,
    )


def find_preference(text: str) -> Literal["speed", "quality", "balance"]:
    """Return speed, quality or balance; small models are wanted for their speed."""
    if has(_FAST, text):
        return "speed"
    if has(
        r"\bbest quality\b|\bhighest quality\b|\bsmartest\b|\bmost (?:capable|accurate)\b", text
    ):
        return "quality"
    return "balance"


def find_num_ctx(text: str) -> tuple[int, tuple[int, int]] | None:
    """Return the context length that `text` asks for, in tokens, and where it stands.

    `32k` is 32,768, `128k` is 131,072, `1M` is 1,048,576; a plain number counts when the word
    context, ctx or tokens is beside it.
    """
    match = _pattern(r"(?<![\w.])(\d{1,4}(?:\.\d)?)\s?k\b(?![\w-])").search(text)
    if match and float(match[1]) > 0:
        return round(float(match[1]) * 1024), match.span()
    match = _pattern(r"(?<![\w.])(\d)\s?(?:m|million)\b[ -]?(?:tokens?|context|ctx)").search(text)
    if match:
        return int(match[1]) * 1024 * 1024, match.span()
    match = _pattern(
        r"(?<![\w.])(\d{3,7}|\d{1,3}(?:,\d{3})+)\s?[ -]?(?:tokens?|context|ctx)\b"
        r"|\b(?:num_ctx|context(?: length| window| size)?|ctx)\s*(?:of|=|:|at)?\s*"
        r"(\d{3,7}|\d{1,3}(?:,\d{3})+)\b"
    ).search(text)
    if match:
        return int((match[1] or match[2]).replace(",", "")), match.span()
    return None


def find_kv_cache_type(text: str) -> tuple[KvCacheType, tuple[int, int]] | None:
    """Return the cache type named next to the words cache or KV, and where, or None."""
    for kv_type in _KV_TYPES:
        name = kv_type.replace("_0", "(?:_0)?")
        match = _pattern(
            rf"\b{name}\s+(?:kv|cache|k/v)(?: cache)?|(?:kv|cache)[^?.]{{0,48}}?\b{name}\b"
        ).search(text)
        if match:
            return kv_type, match.span()
    return None


def find_hosted_model(text: str) -> str | None:
    """Return the name of a model that only its maker's servers run, or None."""
    match = _pattern(
        r"\b(chat ?gpt|gpt-?[345](?:\.\d)?(?:o|-?\w*)?|claude(?: (?:opus|sonnet|haiku|\d[\d.]*))?|gemini(?: pro| flash)?"
        r"|grok|bloomberg ?gpt|med-?palm(?: 2)?|o[134](?:-mini)?(?= model)|bard|midjourney"
        r"|perplexity ai)\b"
    ).search(text)
    if match is None:
        return None
    name = match[1]
    return name.upper() if name.lower().startswith("gpt") else name[0].upper() + name[1:]


def find_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes in `text` in bytes (GB as 10**9), for claims such as `needs 638MB`."""
    factor = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
    found = _pattern(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([kmgt])i?b?\b(?!\w)").findall(text)
    return tuple(round(float(n) * factor[u.lower()]) for n, u in found if u.lower() != "k")


def find_quantizations(text: str) -> tuple[str, ...]:
    """Return the quantizations named in `text` in canonical writing, in order, once each."""
    from assistant.models.quantization import parse_quantization

    words = _pattern(
        r"(?<![\w.])(?:(?:i?q|tq)[1-8](?:[_ -]?k)?(?:[_ -](?:0|1|xxs|xs|nl|[sml]))?"
        r"|q8_k_xl|f16|fp16|bf16|f32|fp32|mxfp4|[2-8][ -]?bits?|int[48])(?![\w])"
    ).findall(text)
    found = [parse_quantization(word) for word in words]
    return tuple(dict.fromkeys(q for q in found if q is not None))


def find_temperature(text: str) -> float | None:
    """Return the sampling temperature that `text` asks for (`low temp`, `temperature 0.5`)."""
    match = _pattern(r"\btemp(?:erature)?\s*(?:of|=|:|at|to)?\s*(\d(?:\.\d+)?)\b").search(text)
    if match:
        return float(match[1])
    if has(r"\blow(?:er)? temp", text):
        return 0.2
    if has(r"\bhigh(?:er)? temp", text):
        return 1.0
    return None


def is_about_local_models(text: str) -> bool:
    """Return True when `text` has a word of the field."""
    words = re.findall(r"[a-z0-9][a-z0-9_./]*[a-z0-9]", text.lower())
    return not _FIELD_WORDS.isdisjoint(words) or has(_FIELD_STEMS, text)
