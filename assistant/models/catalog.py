"""The catalog of known models: the shipped data, a person's own entries, and finding by name.

The data is `data/catalog.json`, written by `scripts/build_catalog.py` in the layout that
`data/catalog.schema.json` and `docs/catalog.md` describe. A row becomes a `ModelCard` when it
is first asked for, so that looking up one model costs one card.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assistant.errors import CatalogError, ModelNameError, UnknownModelError
from assistant.models.card import ModelCard, Tag
from assistant.models.catalog_rows import build_card
from assistant.models.names import (
    DEFAULT_TAG,
    ModelName,
    TagWords,
    parse_model_name,
    parse_quantization,
    split_tag,
)
from assistant.paths import user_catalog_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assistant.models.text_matching import MatchedModel

CATALOG_FILE: Final = Path(__file__).parent / "data" / "catalog.json"
# Words of a tag that name a build of the same model rather than another model.
_PLAIN_WORDS: Final = frozenset({"instruct", "chat", "it", "latest"})


class Catalog:
    """Known models and their tags; `as_of` is the day the library was listed."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.as_of: str = data["as_of"]
        self._data = data
        self._rows: list[dict[str, Any]] = data["models"]
        self._built: list[ModelCard | None] = [None] * len(self._rows)
        self._by_name: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ModelCard]:
        return iter(self.cards)

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """Every model, in the order of the catalog."""
        return tuple([self._card(index) for index in range(len(self._rows))])

    def families(self) -> dict[str, tuple[ModelCard, ...]]:
        """Return the models of each family, smallest first as in the library."""
        groups: dict[str, list[ModelCard]] = {}
        for card in self.cards:
            groups.setdefault(card.family, []).append(card)
        return {family: tuple(cards) for family, cards in groups.items()}

    def family_names(self) -> tuple[str, ...]:
        """Return the names of all families, without building their cards."""
        return tuple(dict.fromkeys(row["family"] for row in self._rows))

    def family(self, name: str) -> tuple[ModelCard, ...]:
        """Return the models of one family; empty when there is none of that name."""
        wanted = name.lower()
        return tuple([self._card(i) for i, row in enumerate(self._rows) if row["family"] == wanted])

    def card(self, name: str) -> ModelCard | None:
        """Return the model of exactly that name (`qwen3.5:9b`, `openhermes`), or None."""
        wanted = name.lower()
        for index, row in enumerate(self._rows):
            if row["name"] == wanted:
                return self._card(index)
        return None

    def find(self, text: str, quantization: str | None = None) -> tuple[ModelCard, Tag]:
        """Return the model and tag that `text` names, the way Ollama or a person writes them.

        `quantization` asks for another level of the same model. A level without a tag in the
        library gives a tag with `in_library` False, so that its size can still be estimated.

        Raises:
            UnknownModelError: no such model is known; the hint offers near names.
        """
        level = None if quantization is None else self._level(quantization)
        wanted = text.strip()
        try:
            name = parse_model_name(wanted)
        except ModelNameError:
            return self._find_in_text(wanted, level)
        if name.is_hugging_face:
            return self._find_hugging_face(name, level)
        if not name.is_library:
            raise UnknownModelError(
                f"{wanted!r} is not in the catalog, which holds Ollama's own library.",
                hint="It can still be looked up in its registry when the network may be used.",
            )
        found = self._find_library(name)
        if found is None:
            return self._find_in_text(wanted, level)
        card, tag = found
        return card, (tag if level is None else self.tag_with_level(card, tag, level))

    def tag_with_level(self, card: ModelCard, like: Tag, level: str) -> Tag:
        """Return the tag of `card` at a quantization level, of the same kind as `like`."""
        if like.quantization == level and like.format == "gguf":
            return like
        candidates = [
            tag
            for tag in card.tags
            if tag.quantization == level and tag.format == "gguf" and tag.purpose == like.purpose
        ]
        if candidates:
            words = _variant_words(like)
            return min(candidates, key=lambda tag: (len(_variant_words(tag) ^ words), tag.name))
        return _tag_outside_library(card, like, level)

    def tag_for(self, card: ModelCard, level: str | None = None) -> Tag | None:
        """Return a model's default tag, or its tag at a level; None when it has no tag at all.

        A level without a tag in the library gives one with `in_library` False.
        """
        default = _default_tag(card)
        if level is None:
            return default
        if default is None:
            return _tag_outside_library(card, None, level)
        return self.tag_with_level(card, default, level)

    def named(self, name: str) -> tuple[ModelCard, Tag] | None:
        """Return the model and tag of exactly that name or other name, in any case."""
        index = self._names().get(name.lower())
        if index is None:
            return None
        card = self._card(index)
        tag = _named_tag(card, name.lower())
        return None if tag is None else (card, tag)

    def search(self, words: str) -> list[ModelCard]:
        """Return the models whose name, title, publisher or capabilities hold all the words."""
        wanted = words.lower().split()
        found = []
        for index, row in enumerate(self._rows):
            text = " ".join(
                [
                    row["name"],
                    row["title"],
                    row.get("publisher") or "",
                    " ".join(row.get("capabilities", ())),
                    (row.get("release") or ""),
                ]
            ).lower()
            if all(word in text for word in wanted):
                found.append(self._card(index))
        return found

    def match_text(self, text: str) -> list[MatchedModel]:
        """Return the models named in a sentence, with the level asked for and assumptions."""
        from assistant.models.text_matching import match_text

        return match_text(self, text)

    def near_names(self, text: str, count: int = 3) -> list[str]:
        """Return the names most like `text`, best first."""
        from difflib import get_close_matches

        wanted = text.lower().strip()
        model, _, tag = wanted.partition(":")
        names = [row["name"] for row in self._rows]
        near = get_close_matches(wanted, names, n=count, cutoff=0.75)
        families = get_close_matches(model, list(self.family_names()), n=count, cutoff=0.6)
        for family in families:
            own = [name for name in names if name.partition(":")[0] == family]
            same_size = [n for n in own if tag and n.partition(":")[2] == split_tag(tag).size]
            near += same_size or own[:2]
        return list(dict.fromkeys(near))[:count]

    def _card(self, index: int) -> ModelCard:
        card = self._built[index]
        if card is None:
            card = self._built[index] = build_card(self._rows[index], self._data)
        return card

    def _names(self) -> dict[str, int]:
        """Return the place of the model for every full name and other name, in lower case."""
        if self._by_name is None:
            names: dict[str, int] = {}
            for index, row in enumerate(self._rows):
                model = row["name"].partition(":")[0]
                for tag in row.get("tags", ()):
                    names[f"{model}:{tag[0].lower()}"] = index
                    for alias in tag[1] or () if len(tag) > 1 else ():
                        names.setdefault(f"{model}:{alias.lower()}", index)
            for index, row in enumerate(self._rows):
                names.setdefault(row["name"].lower(), index)
            self._by_name = names
        return self._by_name

    def _find_library(self, name: ModelName) -> tuple[ModelCard, Tag] | None:
        """Return the model and tag of a library name, or None when the model is unknown."""
        model, tag = name.model.lower(), name.tag.lower()
        names = self._names()
        index = names.get(f"{model}:{tag}")
        if index is None and tag == DEFAULT_TAG:
            index = names.get(model)
        if index is not None:
            card = self._card(index)
            found = _named_tag(card, f"{model}:{tag}") or _default_tag(card)
            return card, found or _tag_outside_library(card, None, "Q4_K_M")
        own = [i for i, row in enumerate(self._rows) if row["name"].partition(":")[0] == model]
        if not own:
            return None
        if tag == DEFAULT_TAG:
            card = self._card(own[0])
            return card, _default_tag(card) or _tag_outside_library(card, None, "Q4_K_M")
        return self._by_tag_words([self._card(i) for i in own], name)

    def _by_tag_words(self, cards: list[ModelCard], name: ModelName) -> tuple[ModelCard, Tag]:
        """Return the tag that fits the words of a tag which the library does not have."""
        words = split_tag(name.tag)
        sized = [card for card in cards if words.size in (None, card.name.partition(":")[2])]
        if not sized or (words == TagWords(None, words.variant, None) and words.variant):
            raise UnknownModelError(
                f"{name.model}:{name.tag} is not in the catalog.",
                hint=f"Known: {_listed([card.name for card in cards])}.",
            )
        card = sized[0]
        wanted = {word for word in words.variant if word not in _PLAIN_WORDS}
        like = max(
            card.tags,
            key=lambda tag: (len(wanted & _variant_words(tag)), tag.name == card.default_tag),
            default=None,
        )
        level = words.quantization
        if like is None or (wanted and not wanted & _variant_words(like)):
            raise UnknownModelError(
                f"{name.model}:{name.tag} is not in the catalog.",
                hint=f"Known: {_listed([tag.name for tag in card.tags])}.",
            )
        return card, (like if level is None else self.tag_with_level(card, like, level))

    def _find_in_text(self, text: str, level: str | None) -> tuple[ModelCard, Tag]:
        """Return the model of a loosely written name such as `Llama 3.1 8B Q5_K_M`."""
        from assistant.models.text_matching import match_name

        found = None if ":" in text else match_name(self, text)
        if found is not None:
            card, tag = found
            return card, (tag if level is None else self.tag_with_level(card, tag, level))
        meant = [match.card.name for match in self.match_text(text)]
        near = list(dict.fromkeys([*meant, *self.near_names(text)]))[:3]
        shown = text if len(text) <= 80 else text[:77] + "..."
        raise UnknownModelError(
            f"No model {shown!r} is known.",
            hint=f"Did you mean {_alternatives(near)}?"
            if near
            else "Write it as in Ollama's library (llama3.1:8b) or as hf.co/user/repository.",
        )

    def _find_hugging_face(self, name: ModelName, level: str | None) -> tuple[ModelCard, Tag]:
        """Return the model a Hugging Face repository is a copy of, with a tag of that name."""
        wanted = _repository_key(name.model)
        stated = parse_quantization(name.tag) if name.tag != DEFAULT_TAG else "Q4_K_M"
        for index, row in enumerate(self._rows):
            repository = row.get("hf_repo")
            if repository and _repository_key(repository.rpartition("/")[2]) == wanted:
                card = self._card(index)
                like = _default_tag(card)
                tag = Tag(
                    name=name.render(),
                    quantization=level or stated or name.tag,
                    purpose=like.purpose if like else "instruct",
                    download_bytes=None,
                    model_bytes=None,
                    projector_bytes=None,
                    exactness="derived",
                    context_length=card.context_length,
                    in_library=False,
                )
                return card, tag
        raise UnknownModelError(
            f"The repository of {name.render()!r} is not one the catalog knows.",
            hint="It can still be looked up on Hugging Face when the network may be used.",
        )

    @staticmethod
    def _level(quantization: str) -> str:
        level = parse_quantization(quantization)
        if level is None:
            raise UnknownModelError(
                f"{quantization!r} is not a quantization level.",
                hint="Levels are written like Q4_K_M, Q5_K_M, Q6_K, Q8_0 or F16.",
            )
        return level


def load_catalog(user_file: Path | None = None) -> Catalog:
    """Return the shipped catalog, with the entries of a person's own file laid over it.

    By default that is `assistant.paths.user_catalog_file`, when there is one.

    Raises:
        CatalogError: the shipped or the person's file cannot be read or is not as it must be.
    """
    return _loaded(user_file or user_catalog_file())


@lru_cache(maxsize=4)
def _loaded(user_file: Path | None) -> Catalog:
    try:
        data = json.loads(CATALOG_FILE.read_bytes())
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"The catalog {CATALOG_FILE.name} cannot be read: {error}.",
            hint="Install the program again.",
        ) from error
    if user_file is not None:
        from assistant.models.user_catalog import overlay_user_file

        overlay_user_file(data, user_file)
    return Catalog(data)


def _named_tag(card: ModelCard, name: str) -> Tag | None:
    """Return the tag of that name or other name, whatever the case of its letters."""
    for tag in card.tags:
        if tag.name.lower() == name or any(alias.lower() == name for alias in tag.aliases):
            return tag
    return None


def _default_tag(card: ModelCard) -> Tag | None:
    if card.default_tag is not None:
        found = _named_tag(card, card.default_tag.lower())
        if found is not None:
            return found
    return card.tags[0] if card.tags else None


def _variant_words(tag: Tag) -> frozenset[str]:
    """Return the words of all names of a tag that say which build it is."""
    words: set[str] = set()
    for name in (tag.name, *tag.aliases):
        words.update(split_tag(name.partition(":")[2]).variant)
    return frozenset(words - _PLAIN_WORDS)


def _tag_outside_library(card: ModelCard, like: Tag | None, level: str) -> Tag:
    """Return a tag for a level that the library does not have; nothing of it can be pulled."""
    model, _, size = card.name.partition(":")
    return Tag(
        name=f"{model}:{size}-{level}" if size else f"{model}:{level}",
        quantization=level,
        purpose=like.purpose if like else "instruct",
        download_bytes=None,
        model_bytes=None,
        projector_bytes=like.projector_bytes if like else None,
        exactness="derived",
        context_length=like.context_length if like else card.context_length,
        pullable=False,
        architecture=like.architecture if like else None,
        capabilities=like.capabilities if like else None,
        in_library=False,
    )


def _repository_key(repository: str) -> str:
    """Return a repository name without what repackagers add, for comparing."""
    key = repository.lower().removesuffix("-gguf").removeprefix("meta-")
    return "".join(c for c in key if c.isalnum())


def _alternatives(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _listed(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
