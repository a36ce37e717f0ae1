"""Which languages a model speaks, as far as its makers say.

The catalog lists languages where a card names them. Where makers only give a number, the
family's claim stands here: Gemma 3 and 4 over 140 languages, Qwen3 119, Qwen3.5 and later 201,
EmbeddingGemma, Qwen3-Embedding and BGE-M3 over 100 (their model cards). Those cover `WIDE`,
the hundred or so languages with the most text; for a rarer one they are called unknown.
Qwen2.5 names 13 of its "over 29". A listing that names English alone is not trusted for the
Qwen families: their repositories are tagged so, though the models are multilingual.
"""

from __future__ import annotations

from typing import Final, Literal

from assistant.models.card import ModelCard

Support = Literal["yes", "no", "unknown"]

WIDE: Final = frozenset(
    "af am ar as az be bg bn bs ca cs cy da de el en eo es et eu fa fi fil fr ga gd gl gu ha he hi "
    "hr hu hy id ig is it ja jv ka kk km kn ko ku ky lb lo lt lv mg mi mk ml mn mr ms mt my ne nl "
    "no nb nn or pa pl ps pt ro ru sd si sk sl so sq sr su sv sw ta te tg th tl tr ug uk ur uz vi "
    "xh yi yo zh zu".split()
)
LANGUAGE_NAMES: Final[dict[str, str]] = {
    "arabic": "ar", "bengali": "bn", "bulgarian": "bg", "catalan": "ca", "chinese": "zh",
    "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en",
    "estonian": "et", "farsi": "fa", "finnish": "fi", "french": "fr", "german": "de",
    "greek": "el", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "indonesian": "id",
    "italian": "it", "japanese": "ja", "korean": "ko", "latvian": "lv", "lithuanian": "lt",
    "malay": "ms", "mandarin": "zh", "norwegian": "no", "persian": "fa", "polish": "pl",
    "portuguese": "pt", "romanian": "ro", "russian": "ru", "serbian": "sr", "slovak": "sk",
    "slovenian": "sl", "spanish": "es", "swahili": "sw", "swedish": "sv", "tamil": "ta",
    "telugu": "te", "thai": "th", "turkish": "tr", "ukrainian": "uk", "urdu": "ur",
    "vietnamese": "vi",
}  # fmt: skip
"""English names of languages and their ISO 639-1 codes."""

_QWEN25: Final = frozenset("zh en fr es pt de it ru ja ko vi th ar".split())
_CLAIMS: Final[tuple[tuple[str, frozenset[str], str], ...]] = (
    ("gemma4", WIDE, "over 140 languages"),
    ("gemma3n", WIDE, "over 140 languages"),
    ("gemma3", WIDE, "over 140 languages"),
    ("translategemma", WIDE, "made for translation"),
    ("embeddinggemma", WIDE, "over 100 languages"),
    ("qwen3-embedding", WIDE, "over 100 languages"),
    ("bge-m3", WIDE, "over 100 languages"),
    ("qwen3.5", WIDE, "201 languages"),
    ("qwen3.6", WIDE, "201 languages"),
    ("qwen3.8", WIDE, "201 languages"),
    ("qwen3", WIDE, "119 languages"),
    ("qwen2.5", _QWEN25, "over 29 languages"),
    ("muse-glimmer", WIDE, "over 100 languages"),
    ("snowflake-arctic-embed2", WIDE, "multilingual"),
    ("nomic-embed-text-v2-moe", WIDE, "multilingual"),
    ("paraphrase-multilingual", WIDE, "over 50 languages"),
)


def language_claim(card: ModelCard) -> str | None:
    """Return what the family's makers say about languages, in few words."""
    claim = _claim(card)
    if claim is not None:
        return claim[1]
    if card.languages:
        count = len(card.languages)
        return "English" if card.languages == ("en",) else f"{count} languages"
    return None


def speaks(card: ModelCard, language: str) -> Support:
    """Return whether a model is said to speak a language, given by its two-letter code."""
    code = language.lower().partition("-")[0]
    claim = _claim(card)
    listed = card.languages or ()
    if code in listed or (claim is not None and code in claim[0]):
        return "yes"
    if claim is not None:
        return "unknown"
    return "no" if listed else ("yes" if code == "en" else "unknown")


def _claim(card: ModelCard) -> tuple[frozenset[str], str] | None:
    name = card.name.partition(":")[0]
    for prefix, codes, words in _CLAIMS:
        if name == prefix or name.startswith((f"{prefix}-", f"{prefix}vl")):
            return codes, words
    return None
