"""Models named in free text: `llama 3.1 8b`, `code llama 34b`, `7b q8_0`, `gemma 2`.

A name is looked up by its letters and digits alone, so that spaces, hyphens and colons do
not matter. What had to be assumed (a family without a size, a size without a family) is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assistant.models.card import ModelCard, Tag
from assistant.models.names import parse_quantization

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assistant.models.catalog import Catalog


@dataclass(frozen=True, slots=True)
class MatchedModel:
    """A model named in a text.

    `card` is the model meant, or the usual one of a family named without a size (`sized`
    is False then). `span` is where it stands in the text. `quantization` is the level asked
    for, or None. `assumption` says in one sentence what was not stated.
    """

    card: ModelCard
    family: str
    sized: bool
    span: tuple[int, int]
    quantization: str | None = None
    assumption: str | None = None


# Names people use that are not a family of the library, each with the families it can mean,
# the likeliest first; the first that has the size asked for is taken.
_BRANDS: Final[dict[str, tuple[str, ...]]] = {
    "llama": ("llama3.3", "llama3.1", "llama3.2", "llama4", "llama3", "llama2"),
    "metallama": ("llama3.3", "llama3.1", "llama3.2", "llama4", "llama3", "llama2"),
    "qwen": ("qwen3.5", "qwen3.8", "qwen3.6", "qwen3", "qwen2.5", "qwen2", "qwen"),
    "qwencoder": ("qwen3-coder", "qwen2.5-coder"),
    "qwenvl": ("qwen3-vl", "qwen2.5vl"),
    "gemma": ("gemma", "gemma4", "gemma3", "gemma2", "gemma3n"),
    "phi": ("phi4", "phi4-mini", "phi3", "phi"),
    "phi2": ("phi",),
    "deepseek": ("deepseek-r1", "deepseek-v3.1", "deepseek-v3", "deepseek-coder"),
    "r1": ("deepseek-r1",),
    "deepseekcoderv1": ("deepseek-coder",),
    "deepseekv2lite": ("deepseek-v2",),
    "deepseekcoderv2lite": ("deepseek-coder-v2",),
    "starcoder": ("starcoder2",),
    "granite": ("granite4.2", "granite4.1", "granite4", "granite3.3"),
    "granite4.0": ("granite4",),
    "dolphin": ("dolphin3", "dolphin-llama3", "dolphin-mistral", "dolphin-mixtral"),
    "hermes": ("hermes3",),
    "olmo": ("olmo-3", "olmo2"),
    "olmo3": ("olmo-3",),
    "smollm": ("smollm2",),
    "nemotron": ("nemotron-3-nano", "nemotron-3-super", "nemotron-mini"),
    "commandr+": ("command-r-plus",),
    "nomic": ("nomic-embed-text",),
    "nomicembed": ("nomic-embed-text",),
    "nomicembedtextv1.5": ("nomic-embed-text",),
    "mxbai": ("mxbai-embed-large",),
    "minilm": ("all-minilm",),
    "allminilml6v2": ("all-minilm",),
    "arcticembed": ("snowflake-arctic-embed2", "snowflake-arctic-embed"),
    "bgelargeen": ("bge-large",),
    "bgelargeenv1.5": ("bge-large",),
    "multilinguale5": ("multilingual-e5-large",),
    "mythomax": ("mythomax-l2-13b",),
    "functionary": ("functionary-small-v3.2",),
    "kimi": ("kimi-k2.6",),
    "kimik2": ("kimi-k2.6",),
    "glm4.7": ("glm-4.7-flash",),
    "glm": ("glm-4.7-flash", "glm4"),
    "mistral7b": ("mistral",),
    "mistralsmall3": ("mistral-small",),
    "lfm2.5": ("lfm2.5", "lfm2.5-thinking"),
    "minicpm": ("minicpm-v",),
    "gptoss": ("gpt-oss",),
    "codegemma": ("codegemma",),
    "wizardlm": ("wizardlm2", "wizardlm-uncensored"),
    "stablelm": ("stablelm2", "stablelm-zephyr"),
    "orca": ("orca2",),
    "exaone": ("exaone3.5",),
    "internlm": ("internlm2",),
    "ornith": ("ornith-1.5", "ornith"),
    "laguna": ("laguna-xs-2.1",),
    "devstral2": ("devstral-small-2",),
}
# Words that stand for a size in some families.
_SIZE_WORDS: Final[dict[str, str]] = {
    "phi3mini": "phi3:3.8b",
    "phi3medium": "phi3:14b",
    "phi3.5mini": "phi3.5:3.8b",
    "llama4scout": "llama4:16x17b",
    "llama4maverick": "llama4:128x17b",
    "granite4micro": "granite4:3b",
    "granite4small": "granite4:small-h",
    "granite4tiny": "granite4:tiny-h",
    "gemma3ne2b": "gemma3n:e2b",
    "gemma3ne4b": "gemma3n:e4b",
    "codellamapython": "codellama:7b",
    "phi4reasoningplus": "phi4-reasoning:14b",
}
# A well-known model for a size named alone, so that a size and level still give a figure.
_TYPICAL: Final[dict[str, str]] = {
    "0.5b": "qwen2.5:0.5b",
    "0.6b": "qwen3:0.6b",
    "1b": "llama3.2:1b",
    "1.1b": "tinyllama:1.1b",
    "1.5b": "qwen2.5:1.5b",
    "1.7b": "qwen3:1.7b",
    "2b": "gemma2:2b",
    "3b": "llama3.2:3b",
    "3.8b": "phi3:3.8b",
    "4b": "qwen3.5:4b",
    "6b": "yi:6b",
    "6.7b": "deepseek-coder:6.7b",
    "7b": "mistral:7b",
    "8b": "llama3.1:8b",
    "9b": "gemma2:9b",
    "10b": "falcon3:10b",
    "11b": "solar:10.7b",
    "12b": "mistral-nemo:12b",
    "13b": "llama2:13b",
    "14b": "qwen2.5:14b",
    "15b": "starcoder2:15b",
    "16b": "deepseek-coder-v2:16b",
    "20b": "gpt-oss:20b",
    "22b": "mistral-small:22b",
    "24b": "mistral-small3.2:24b",
    "27b": "gemma2:27b",
    "30b": "qwen3:30b",
    "31b": "gemma4:31b",
    "32b": "qwen2.5:32b",
    "33b": "deepseek-coder:33b",
    "34b": "yi:34b",
    "35b": "command-r:35b",
    "40b": "falcon:40b",
    "65b": "llama3.3:70b",
    "70b": "llama3.3:70b",
    "72b": "qwen2.5:72b",
    "80b": "qwen3-next:80b",
    "104b": "command-r-plus:104b",
    "110b": "qwen:110b",
    "120b": "gpt-oss:120b",
    "123b": "mistral-large:123b",
    "180b": "falcon:180b",
    "235b": "qwen3:235b",
    "405b": "llama3.1:405b",
    "480b": "qwen3-coder:480b",
    "671b": "deepseek-v3:671b",
    "8x7b": "mixtral:8x7b",
    "8x22b": "mixtral:8x22b",
}

_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)*|\+")
_SIZE = re.compile(r"(?:\d+\s?x\s?)?e?\d+(?:\.\d+)?\s?(?:billion|b|m)(?![a-z0-9])")
_LEVEL = re.compile(
    r"(?<![a-z0-9])(?:i?q[1-8](?:[\s_-]?(?:k(?:[\s_-]?[sml](?![a-z0-9]))?|0|1|nl|xxs|xs|s|m)"
    r"(?![a-z0-9]))?|b?f(?:p)?(?:16|32)|(?:int)?[\s-]?(?:2|3|4|5|6|8|16)[\s-]?bits?|int[48]"
    r"|mxfp4)(?![a-z0-9])"
)
_LONGEST_NAME: Final = 9
# Words of a tag that may follow the size in a sentence.
_FILLER = re.compile(r"[\s:\-_/]*(?:instruct|chat|it|model|version|v\d(?:\.\d)?)?[\s:\-_/]*")


def match_text(catalog: Catalog, text: str) -> list[MatchedModel]:
    """Return the models named in `text`, in the order they stand there."""
    lowered = text.lower()
    named = list(_named_models(catalog, lowered))
    levels = [
        (match.span(), level)
        for match in _LEVEL.finditer(lowered)
        if (level := parse_quantization(match.group().replace(" ", "_"))) is not None
    ]
    if not named:
        named = list(_sizes_alone(catalog, lowered))
    return _with_levels(named, levels)


def match_name(catalog: Catalog, text: str) -> tuple[ModelCard, Tag] | None:
    """Return the model and tag of a text that is nothing but one model's name, or None."""
    lowered = text.lower()
    found = [m for m in match_text(catalog, text) if m.assumption is None or not m.sized]
    if len(found) != 1 or found[0].span == (0, 0):
        return None
    match = found[0]
    left = lowered[: match.span[0]] + " " + lowered[match.span[1] :]
    left = _LEVEL.sub(" ", left)
    words = set(re.findall(r"[a-z0-9.+]+", left)) - {"instruct", "chat", "it", "gguf", "model"}
    if words:
        return None
    tag = match.card.tag(match.card.default_tag or "") or next(iter(match.card.tags), None)
    level = match.quantization
    if tag is None or (level is not None and tag.quantization != level):
        return match.card, catalog.tag_with_level(match.card, _like(match.card, tag), level or "Q4_K_M")
    return match.card, tag


def _like(card: ModelCard, tag: Tag | None) -> Tag:
    if tag is not None:
        return tag
    return Tag(card.name, None, "instruct", None, None, None, "derived", in_library=False)


def _name_keys(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return the families that each way of writing a name can mean."""
    keys: dict[str, tuple[str, ...]] = {}
    for family in catalog.family_names():
        key = _key(family)
        keys.setdefault(key, (family,))
        keys.setdefault(key.replace(".", ""), (family,))
    keys.update(_BRANDS)
    return keys


def _key(name: str) -> str:
    return "".join(_TOKEN.findall(name.lower()))


def _named_models(catalog: Catalog, text: str) -> Iterator[MatchedModel]:
    """Yield the models whose family is named, longest name first at each place."""
    keys = _name_keys(catalog)
    tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    place = 0
    while place < len(tokens):
        found = _longest_name(keys, tokens, place, text)
        if found is None:
            place += 1
            continue
        count, families, card_name = found
        start, end = tokens[place][1], tokens[place + count - 1][2]
        match = (
            _sized_match(catalog, card_name, (start, end))
            if card_name
            else _family_match(catalog, families, text, start, end)
        )
        if match is not None:
            yield match
            end = max(end, match.span[1])
        while place < len(tokens) and tokens[place][1] < end:
            place += 1


def _longest_name(
    keys: dict[str, tuple[str, ...]], tokens: list[tuple[str, int, int]], place: int, text: str
) -> tuple[int, tuple[str, ...], str | None] | None:
    """Return how many tokens from `place` on make a name, and what it can mean."""
    start = tokens[place][1]
    if start and (text[start - 1].isalnum() or text[start - 1] == "."):
        return None
    best: tuple[int, tuple[str, ...], str | None] | None = None
    joined = ""
    for count in range(1, min(_LONGEST_NAME, len(tokens) - place) + 1):
        token, begin, end = tokens[place + count - 1]
        if count > 1 and begin - tokens[place + count - 2][2] > 1:
            break
        joined += token
        if not _ends_name(text, token, end):
            continue
        if joined in _SIZE_WORDS:
            best = (count, (), _SIZE_WORDS[joined])
        elif joined in keys:
            best = (count, keys[joined], None)
    return best


def _ends_name(text: str, token: str, end: int) -> bool:
    """Return whether a name may end here: `gemma 2` may, the 2 of `gemma 2b` may not."""
    rest = text[end : end + 3]
    if not rest:
        return True
    if token[0].isdigit():
        return not re.match(r"\s?b(?![a-z])|m(?![a-z])|x\d|\.\d|g|k(?![a-z])", rest)
    return not rest[0].isalpha()


def _family_match(
    catalog: Catalog, families: tuple[str, ...], text: str, start: int, end: int
) -> MatchedModel | None:
    """Return the model of a family, at the size that stands behind or before the name."""
    size, span = _size_near(text, start, end)
    if size is not None:
        for family in (*families, *_longer_names(catalog, families)):
            for card in catalog.family(family):
                if _is_size(card, size):
                    assumed = None
                    if _key(families[0]) != _key(family) or len(families) > 1:
                        assumed = _assumed_brand(text[start:end], card, families)
                    return MatchedModel(card, card.family, True, span, None, assumed)
    card = _usual_card(catalog, families[0])
    if card is None:
        return None
    single = len(catalog.family(families[0])) == 1 and len(families) == 1
    if size is None and single:
        return MatchedModel(card, card.family, True, (start, end))
    assumption = (
        f"{text[start:end].strip()} is taken as {card.name}, its usual size."
        if size is None
        else f"There is no {size} among the known sizes of {card.family}; {card.name} is taken."
    )
    return MatchedModel(card, card.family, False, span if size else (start, end), None, assumption)


def _assumed_brand(name: str, card: ModelCard, families: tuple[str, ...]) -> str | None:
    if len(families) == 1:
        return None
    return f"{name.strip()} without a version is taken as {card.name}."


def _longer_names(catalog: Catalog, families: tuple[str, ...]) -> list[str]:
    """Return families whose names begin with the one named: `llama3.2-vision` for `llama3.2`."""
    return [
        name
        for family in families
        for name in catalog.family_names()
        if name != family and name.startswith(family)
    ]


def _usual_card(catalog: Catalog, family: str) -> ModelCard | None:
    """Return the model that a pull of the family's bare name gives."""
    cards = catalog.family(family)
    for card in cards:
        for tag in card.tags:
            if f"{family}:latest" in (tag.name, *tag.aliases):
                return card
    return cards[0] if cards else None


def _sized_match(catalog: Catalog, name: str, span: tuple[int, int]) -> MatchedModel | None:
    card = catalog.card(name)
    return None if card is None else MatchedModel(card, card.family, True, span)


def _size_near(text: str, start: int, end: int) -> tuple[str | None, tuple[int, int]]:
    """Return the size written behind or before a name, and the span of name and size."""
    gap = _FILLER.match(text, end)
    behind = _SIZE.match(text, gap.end() if gap else end)
    if behind:
        return _plain_size(behind.group()), (start, behind.end())
    before = None
    for before in _SIZE.finditer(text, max(0, start - 12), start):
        pass
    if before and not text[before.end() : start].strip(" -:"):
        return _plain_size(before.group()), (before.start(), end)
    return None, (start, end)


def _plain_size(text: str) -> str:
    return re.sub(r"\s", "", text).replace("billion", "b")


def _is_size(card: ModelCard, size: str) -> bool:
    """Return whether a card is of a size as people say it: 3b for 3.8b is not, 7b for 7b is."""
    own = card.name.partition(":")[2]
    if own == size or size in {"e" + own, own.removeprefix("e")}:
        return True
    if card.family in {"mixtral", "dolphin-mixtral"}:
        return own == size
    total = card.parameters_total
    if own and own[0].isdigit() or total is None or not size.endswith("b") or "x" in size:
        return False
    return abs(total / 1e9 - float(size[:-1].lstrip("e"))) < 0.5


def _sizes_alone(catalog: Catalog, text: str) -> Iterator[MatchedModel]:
    """Yield a well-known model for each size that stands without a family."""
    for match in _SIZE.finditer(text):
        if match.start() and (text[match.start() - 1].isalnum() or text[match.start() - 1] in ".q"):
            continue
        size = _plain_size(match.group())
        name = _TYPICAL.get(size)
        card = catalog.card(name) if name else None
        if card is not None:
            yield MatchedModel(
                card,
                card.family,
                True,
                match.span(),
                None,
                f"A {size.upper()} model without a name is taken as {card.name}.",
            )


def _with_levels(
    named: list[MatchedModel], levels: list[tuple[tuple[int, int], str]]
) -> list[MatchedModel]:
    """Return the models with the levels that stand nearest to each."""
    if not named or not levels:
        return named
    levels = [x for x in levels if not any(_inside(x[0], m.span) for m in named)]
    wanted: dict[int, list[str]] = {}
    for (start, _end), level in levels:
        before = [i for i, m in enumerate(named) if m.span[1] <= start]
        wanted.setdefault(before[-1] if before else 0, []).append(level)
    shared = len(levels) == 1 and len(named) > 1 and levels[0][0][0] >= named[-1].span[1]
    result: list[MatchedModel] = []
    for index, match in enumerate(named):
        own = list(dict.fromkeys(wanted.get(index, [levels[0][1]] if shared else [])))
        for level in own or [None]:
            result.append(
                MatchedModel(
                    match.card, match.family, match.sized, match.span, level, match.assumption
                )
            )
    return result


def _inside(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
