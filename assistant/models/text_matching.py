"""Models named in free text: `llama 3.1 8b`, `code llama 34b`, `7b q8_0`, `gemma 2`.

A name is looked up by its letters and digits alone, so that spaces, hyphens and colons do
not matter. What had to be assumed (a family without a size, a size without a family) is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from assistant.models.card import ModelCard, Tag
from assistant.models.names import parse_quantization, split_tag
from assistant.models.usual_names import (
    BRANDS,
    EVERYDAY_WORDS,
    SIZE_WORDS,
    TYPICAL_BY_SIZE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assistant.models.catalog import Catalog


@dataclass(frozen=True, slots=True)
class MatchedModel:
    """A model named in a text.

    `card` is the model meant, or the usual one of a family named without a size (`sized`
    is False then). `span` is where it stands in the text. `quantization` is the level asked
    for, or None; `tag` is the tag of that level, or the model's default. `assumption` says in
    one sentence what was not stated.
    """

    card: ModelCard
    family: str
    sized: bool
    span: tuple[int, int]
    quantization: str | None = None
    assumption: str | None = None
    tag: Tag | None = None


_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)*|\+")
_SIZE = re.compile(r"(?:\d+\s?x\s?)?e?\d+(?:\.\d+)?\s?(?:billion|b|m)(?![a-z0-9])")
_LEVEL = re.compile(
    r"(?<![a-z0-9])(?:i?q[1-8](?:[\s_-]?(?:k(?:[\s_-]?[sml](?![a-z0-9]))?|0|1|nl|xxs|xs|s|m)"
    r"(?![a-z0-9]))?|b?f(?:p)?(?:16|32)|(?:int)?[\s-]?(?:2|3|4|5|6|8|16)[\s-]?bits?|int[48]"
    r"|mxfp4)(?![a-z0-9])"
)
_WRITTEN_TAG = re.compile(r"[a-z0-9._-]+:[a-z0-9._-]+")
_ABOUT_MODELS = re.compile(
    r"\b(?:models?|llms?|ollama|[vd]?ram|gpus?|cards?|licen[cs]e[ds]?|context|quant\w*|param\w*"
    r"|tokens?|\d+\s?gb|fits?|runs?|run|pull|apache|mit|commercial\w*|tags?|languages?|good|better"
    r"|releas\w*|who (?:makes|made)|cod(?:e|ing)|chat)\b"
)
_PROGRAMS = re.compile(
    r"\bllama[ .-]?cpp(?:-python)?\b|\bllama\.c\b"
    r"|\bllama-?(?:quantize|server|cli|index|bench|factory)\b"
)
"""Programs whose names begin like a model's."""
_WORD = re.compile(r"(?<![a-z0-9])[a-z]{4,}[a-z0-9.]*[a-z0-9]")
_NOT_A_NAME: Final = frozenset(
    {
        "ollama",
        "small",
        "gamma",
        "command",
        "commands",
        "multilingual",
        "multilanguage",
        "function",
        "functions",
        "functional",
        "stable",
        "diffusion",
        "translate",
        "translation",
    }
)
_PLAIN_WORDS: Final = frozenset({"instruct", "chat", "it", "gguf", "model"})
_LONGEST_NAME: Final = 9
# Words of a tag that may follow the size in a sentence.
_FILLER = re.compile(r"[\s:\-_/]*(?:instruct|chat|it|model|version|v\d(?:\.\d)?)?[\s:\-_/]*")


def match_text(catalog: Catalog, text: str) -> list[MatchedModel]:
    """Return the models named in `text`, in the order they stand there."""
    lowered = _PROGRAMS.sub(lambda match: " " * len(match.group()), text.lower())
    named = list(_named_models(catalog, lowered))
    levels = [
        (match.span(), level)
        for match in _LEVEL.finditer(lowered)
        if (level := parse_quantization(match.group().replace(" ", "_"))) is not None
    ]
    if not named:
        named = list(_misspelt_names(catalog, lowered))
    if not named:
        named = list(_sizes_alone(catalog, lowered))
    return [_with_tag(catalog, match) for match in _with_levels(named, levels)]


def match_name(catalog: Catalog, text: str) -> tuple[ModelCard, Tag] | None:
    """Return the model and tag of a text that is nothing but one model's name, or None.

    A name that leaves the family or the version open is not one.
    """
    lowered = text.lower()
    named = list(_named_models(catalog, lowered))
    if len(named) != 1 or (named[0].sized and named[0].assumption):
        return None
    start, end = named[0].span
    left = _LEVEL.sub(" ", lowered[:start] + " " + lowered[end:])
    if set(re.findall(r"[a-z0-9.+]+", left)) - _PLAIN_WORDS:
        return None
    match = match_text(catalog, text)[0]
    return None if match.tag is None else (match.card, match.tag)


def _with_tag(catalog: Catalog, match: MatchedModel) -> MatchedModel:
    """Return the match with its tag: the one written out in full, else by level."""
    if match.tag is not None and match.quantization in {None, match.tag.quantization}:
        return replace(match, quantization=match.quantization or _stated_level(match))
    return replace(match, tag=catalog.tag_for(match.card, match.quantization))


def _stated_level(match: MatchedModel) -> str | None:
    """Return the level that a fully written tag has in its name."""
    return split_tag(match.tag.name.partition(":")[2]).quantization if match.tag else None


def _name_keys(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return the families that each way of writing a name can mean."""
    keys: dict[str, tuple[str, ...]] = {}
    for family in catalog.family_names():
        key = _key(family)
        keys.setdefault(key, (family,))
        keys.setdefault(key.replace(".", ""), (family,))
    keys.update(BRANDS)
    return keys


def _key(name: str) -> str:
    return "".join(_TOKEN.findall(name.lower()))


def _named_models(catalog: Catalog, text: str) -> Iterator[MatchedModel]:
    """Yield the models whose family is named, longest name first at each place."""
    keys = _name_keys(catalog)
    tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    place = 0
    while place < len(tokens):
        written = _written_name(catalog, text, tokens[place][1])
        if written is not None:
            yield written
            while place < len(tokens) and tokens[place][1] < written.span[1]:
                place += 1
            continue
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
        if match is not None and not _is_everyday(text, start, end, match):
            yield match
            end = max(end, match.span[1])
        while place < len(tokens) and tokens[place][1] < end:
            place += 1


def _written_name(catalog: Catalog, text: str, start: int) -> MatchedModel | None:
    """Return the model whose full name, as Ollama writes it, begins at `start`."""
    if start and (text[start - 1].isalnum() or text[start - 1] in "._-/"):
        return None
    written = _WRITTEN_TAG.match(text, start)
    if written is None:
        return None
    name = written.group().rstrip(".-_")
    found = catalog.named(name)
    if found is None:
        return None
    card, tag = found
    span = (start, start + len(name))
    return MatchedModel(card, card.family, sized=True, span=span, tag=tag)


def _is_everyday(text: str, start: int, end: int, match: MatchedModel) -> bool:
    """Return whether a name is more likely the everyday word: `solar` without a size."""
    if text[start:end] not in EVERYDAY_WORDS or match.span != (start, end):
        return False
    return _ABOUT_MODELS.search(text) is None


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
        if joined in SIZE_WORDS:
            best = (count, (), SIZE_WORDS[joined])
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
        card = _card_of_size(catalog, (*families, *_longer_names(catalog, families)), size)
        if card is not None:
            assumed = None
            if len(families) > 1:
                assumed = f"{text[start:end].strip()} without a version is taken as {card.name}."
            return MatchedModel(card, card.family, sized=True, span=span, assumption=assumed)
    card = _usual_card(catalog, families[0])
    if card is None:
        return None
    single = len(catalog.family(families[0])) == 1 and len(families) == 1
    if size is None and single:
        return MatchedModel(card, card.family, sized=True, span=(start, end))
    assumption = (
        f"{text[start:end].strip()} is taken as {card.name}, its usual size."
        if size is None
        else f"There is no {size} among the known sizes of {card.family}; {card.name} is taken."
    )
    return MatchedModel(
        card, card.family, sized=False, span=span if size else (start, end), assumption=assumption
    )


def _card_of_size(catalog: Catalog, families: tuple[str, ...], size: str) -> ModelCard | None:
    """Return the first model of that size: named so, or else of about that many parameters."""
    cards = [card for family in families for card in catalog.family(family)]
    for is_size in (_is_named, _is_about):
        for card in cards:
            if is_size(card, size):
                return card
    return None


def _is_named(card: ModelCard, size: str) -> bool:
    return card.name.partition(":")[2] == size


def _is_about(card: ModelCard, size: str) -> bool:
    """Return whether a size means this card: `4b` the e4b, `80b` a card without a size tag."""
    own = card.name.partition(":")[2]
    if own == f"e{size}":
        return True
    if own[:1].isdigit() or card.parameters_total is None or not re.fullmatch(r"[\d.]+b", size):
        return False
    return abs(card.parameters_total / 1e9 - float(size[:-1])) < 0.5


def _longer_names(catalog: Catalog, families: tuple[str, ...]) -> list[str]:
    """Return families whose names begin with the one named, newest first.

    So `llama3.2 11b` is found under llama3.2-vision, `mistral 24b` under mistral-small3.2.
    """
    longer = [
        name
        for family in families
        for name in catalog.family_names()
        if name not in families and name.startswith(family)
    ]
    return sorted(longer, key=lambda name: catalog.family(name)[0].release or "", reverse=True)


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
    return None if card is None else MatchedModel(card, card.family, sized=True, span=span)


def _size_near(text: str, start: int, end: int) -> tuple[str | None, tuple[int, int]]:
    """Return the size written behind or before a name, and the span of name and size."""
    gap = _FILLER.match(text, end)
    behind = _SIZE.match(text, gap.end() if gap else end)
    if behind:
        return _plain_size(behind.group()), (start, behind.end())
    earlier = list(_SIZE.finditer(text, max(0, start - 12), start))
    before = earlier[-1] if earlier else None
    if before and not text[before.end() : start].strip(" -:"):
        return _plain_size(before.group()), (before.start(), end)
    return None, (start, end)


def _plain_size(text: str) -> str:
    return re.sub(r"\s", "", text).replace("billion", "b")


def _sizes_alone(catalog: Catalog, text: str) -> Iterator[MatchedModel]:
    """Yield a well-known model for each size that stands without a family."""
    for match in _SIZE.finditer(text):
        if match.start() and (text[match.start() - 1].isalnum() or text[match.start() - 1] in ".q"):
            continue
        size = _plain_size(match.group())
        name = TYPICAL_BY_SIZE.get(size)
        card = catalog.card(name) if name else None
        if card is not None:
            yield MatchedModel(
                card,
                card.family,
                sized=True,
                span=match.span(),
                assumption=f"No model is named; {card.name} stands for the {size.upper()} models.",
            )


def _misspelt_names(catalog: Catalog, text: str) -> Iterator[MatchedModel]:
    """Yield the model of the one word that is nearly a family's name."""
    from difflib import get_close_matches

    keys = _name_keys(catalog)
    known = [key for key in keys if len(key) >= 5]
    for match in _WORD.finditer(text):
        word = match.group()
        if word in _NOT_A_NAME or word in keys:
            continue
        near = get_close_matches(word, known, n=1, cutoff=0.84)
        if not near:
            continue
        found = _family_match(catalog, keys[near[0]], text, match.start(), match.end())
        sized = found is not None and found.span != (match.start(), match.end())
        if found is not None and (sized or _ABOUT_MODELS.search(text)):
            said = f"{word} is taken as {found.card.name}."
            yield replace(found, assumption=said)
            return


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
        result += [replace(match, quantization=level) for level in own] or [match]
    return result


def _inside(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
