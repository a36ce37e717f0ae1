"""Answers about a model itself: licence, languages, parameters, context, abilities, sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.agent.compose.licence import compose_licence, family_words, licence_text
from assistant.agent.compose.text import join_words, paragraphs, sentence, table
from assistant.agent.records import Aspect
from assistant.models.card import ModelCard, Tag
from assistant.recommend.languages import language_claim
from assistant.units import gb, tokens

LANGUAGE_NAMES = {
    "en": "English", "de": "German", "fr": "French", "it": "Italian", "pt": "Portuguese",
    "hi": "Hindi", "es": "Spanish", "th": "Thai", "nl": "Dutch", "sv": "Swedish", "da": "Danish",
    "no": "Norwegian", "fi": "Finnish", "pl": "Polish", "cs": "Czech", "sk": "Slovak",
    "hu": "Hungarian", "ro": "Romanian", "bg": "Bulgarian", "el": "Greek", "tr": "Turkish",
    "ru": "Russian", "uk": "Ukrainian", "ar": "Arabic", "he": "Hebrew", "fa": "Persian",
    "bn": "Bengali", "ur": "Urdu", "ta": "Tamil", "te": "Telugu", "vi": "Vietnamese",
    "id": "Indonesian", "ms": "Malay", "tl": "Tagalog", "zh": "Chinese", "ja": "Japanese",
    "ko": "Korean", "sw": "Swahili", "ca": "Catalan", "hr": "Croatian", "sr": "Serbian",
    "sl": "Slovenian", "et": "Estonian", "lv": "Latvian", "lt": "Lithuanian",
    "af": "Afrikaans", "am": "Amharic", "as": "Assamese", "az": "Azerbaijani", "be": "Belarusian",
    "br": "Breton", "bs": "Bosnian", "ceb": "Cebuano", "cy": "Welsh", "eo": "Esperanto", "eu":
    "Basque", "fy": "Frisian", "ga": "Irish", "gd": "Scottish Gaelic", "gl": "Galician", "gu":
    "Gujarati", "ha": "Hausa", "ht": "Haitian Creole", "hy": "Armenian", "is": "Icelandic", "jv":
    "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ku": "Kurdish",
    "ky": "Kyrgyz", "la": "Latin", "lo": "Lao", "mg": "Malagasy", "mk": "Macedonian", "ml":
    "Malayalam", "mn": "Mongolian", "mr": "Marathi", "my": "Burmese", "ne": "Nepali", "om":
    "Oromo", "or": "Odia", "pa": "Punjabi", "ps": "Pashto", "qu": "Quechua", "sa": "Sanskrit",
    "sd": "Sindhi", "si": "Sinhala", "so": "Somali", "sq": "Albanian", "su": "Sundanese", "ug":
    "Uyghur", "uz": "Uzbek", "xh": "Xhosa", "yi": "Yiddish", "yo": "Yoruba",
}  # fmt: skip

_NUMBER_WORDS = (
    "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
_ABILITY = {
    "insert": "fill-in-the-middle",
    "tools": "tool calling",
    "vision": "image input",
    "thinking": "a thinking mode",
}


def compose_facts(
    cards: Sequence[ModelCard],
    aspect: Aspect,
    *,
    relatives: Sequence[ModelCard] = (),
    asked: str = "",
    languages: Sequence[str] = (),
    claimed_num_ctx: int | None = None,
) -> str:
    """Return the answer about `cards` (one model, or every size of a family).

    `relatives` are other models of the family or with the family's name in theirs; they
    supply contrasts such as another size with another licence.
    """
    if aspect == "licence":
        return compose_licence(cards, relatives, asked)
    if aspect == "languages":
        return _languages(cards, languages, asked, relatives)
    if aspect == "dimensions":
        return _embedding_context(cards[0], cards[0].context_length or 0)
    if aspect == "scores":
        return _scores(cards[0], asked)
    if aspect == "parameters":
        return _parameters(cards)
    if aspect == "context":
        return _context(cards, claimed_num_ctx)
    if aspect in _ABILITY:
        return _ability(cards, aspect, relatives)
    if aspect == "release":
        return _release(cards)
    if aspect == "size":
        return _sizes(cards)
    return _overview(cards)


def parameters_text(card: ModelCard) -> str | None:
    """Return `46.7B` or `46.7B total, 12.9B active`, or None."""
    if card.parameters_total is None:
        return None
    total = billions(card.parameters_total)
    if card.parameters_active and card.parameters_active < 0.95 * card.parameters_total:
        return f"{total} total, {billions(card.parameters_active)} active per token"
    return total


def billions(count: int) -> str:
    """Return a parameter count as people write it: `46.7B`, `135M`."""
    if count < 0.95e9:
        return f"{count / 1e6:.0f}M"
    text = f"{count / 1e9:.1f}"
    return text.removesuffix(".0") + "B"


def languages_text(card: ModelCard) -> str | None:
    """Return the languages in words, or None when the catalog does not list them."""
    if not card.languages:
        return None
    return join_words([LANGUAGE_NAMES.get(code, code) for code in card.languages])


def default_tag(card: ModelCard) -> Tag | None:
    """Return the tag that a bare pull gives, or the first one."""
    found = card.tag(card.default_tag) if card.default_tag else None
    return found or (card.tags[0] if card.tags else None)


def _same(cards: Sequence[ModelCard], key: str) -> bool:
    return len({repr(getattr(card, key)) for card in cards}) == 1


def _names(cards: Sequence[ModelCard]) -> str:
    return join_words([f"`{card.name}`" for card in cards])


def _multilingual_embedders(relatives: Sequence[ModelCard]) -> str:
    """Return a sentence with the embedding models that know many languages."""
    many = [c for c in relatives if "embedding" in c.capabilities and len(c.languages or ()) > 1]
    names = list(dict.fromkeys(card.name.split(":")[0] for card in many))
    if not names:
        return ""
    listed = join_words([f"`{name}`" for name in names[:5]])
    return f" Multilingual embedding models are {listed}."


def _languages(
    cards: Sequence[ModelCard],
    wanted: Sequence[str],
    asked: str,
    relatives: Sequence[ModelCard],
) -> str:
    known = [card for card in cards if card.languages]
    if not known:
        return (
            f"The catalog does not list the languages of {family_words(cards)}; its model card at "
            "the publisher does."
        )
    card = max(known, key=lambda card: len(card.languages or ()))
    spoken = card.languages or ()
    count = len(spoken)
    word = _NUMBER_WORDS[count] if count < len(_NUMBER_WORDS) else str(count)
    plural = "language" if count == 1 else "languages"
    name = card.family if len(cards) > 1 and _same(known, "languages") else card.name
    claim = language_claim(card)
    if claim and claim.split()[0] != str(count) and count > 1:
        text = f"`{name}` supports {claim}, among them {languages_text(card)}."
    else:
        text = f"`{name}` officially supports {word} {plural}: {languages_text(card)}."
    missing = [code for code in wanted if code not in spoken]
    if "embedding" in card.capabilities and (missing or count == 1):
        text += _multilingual_embedders(relatives)
    if "multilingual" in asked.lower() and count == 1:
        return f"No: {text}"
    if not wanted:
        return f"Yes: {text}" if "multilingual" in asked.lower() else text
    if missing:
        names = join_words([LANGUAGE_NAMES.get(code, code) for code in missing])
        return f"No, not officially {names}: {text}"
    return f"Yes: {text}"


def _scores(card: ModelCard, asked: str) -> str:
    """Return the published scores of a model, those first that the question names."""
    if not card.benchmarks:
        return f"The catalog has no published score of `{card.name}`."
    key = re.sub(r"[^a-z0-9]", "", asked.lower())
    named = [b for b in card.benchmarks if re.sub(r"[^a-z0-9]", "", b.name.lower()) in key]
    rows = [
        (b.name, f"{b.value:g}", b.setting or "-", b.reported_by or "-")
        for b in [*named, *(b for b in card.benchmarks if b not in named)][:10]
    ]
    if named:
        first = named[0]
        by = f", reported by the {first.reported_by}" if first.reported_by else ""
        lead = f"`{card.name}` has {first.value:g} on {first.name}{by}."
    else:
        lead = f"The catalog has no such score of `{card.name}`; these are published."
    note = "Published scores are measured on the 16-bit model, not on a quantized file."
    return paragraphs(lead, table(("score", "value", "setting", "by"), rows, right="1"), note)


def _parameters(cards: Sequence[ModelCard]) -> str:
    if len(cards) == 1:
        card = cards[0]
        text = parameters_text(card)
        if text is None:
            return f"The catalog does not know how many parameters `{card.name}` has."
        if card.parameters_active and card.parameters_active < 0.95 * (card.parameters_total or 0):
            return (
                f"`{card.name}` has {billions(card.parameters_total or 0)} parameters in total, "
                f"{billions(card.parameters_active)} of them active per token. It is a mixture of "
                "experts: all of them must be in memory, but only the active ones are read for "
                "each token."
            )
        return f"`{card.name}` has {text} parameters."
    rows = [(card.name, parameters_text(card) or "unknown") for card in cards]
    return paragraphs(
        f"{cards[0].family} comes in {len(cards)} sizes.", table(("model", "parameters"), rows)
    )


def _context(cards: Sequence[ModelCard], claimed: int | None) -> str:
    known = [card for card in cards if card.context_length]
    if not known:
        return f"The catalog does not know the context length of {family_words(cards)}."
    if _same(known, "context_length"):
        length = known[0].context_length or 0
        if "embedding" in known[0].capabilities:
            return _embedding_context(known[0], length)
        verb = "was" if len(cards) == 1 else "were"
        lead = "" if claimed is None else ("Yes: " if claimed == length else "No: ")
        subject = sentence(family_words(cards)).rstrip(".")
        return (
            f"{lead}{subject} {verb} trained for {tokens(length)} "
            f"tokens of context ({length:,}). Ollama uses less unless `num_ctx` says otherwise: by "
            "default 4,096 tokens on machines with under 24 GB of VRAM."
            + "".join(f" {sentence(n)}" for n in known[0].notes if "token" in n or "128K" in n)
        )
    rows = [(card.name, f"{tokens(card.context_length or 0)}") for card in known]
    return paragraphs(
        f"The context length of {cards[0].family} depends on the size.",
        table(("model", "trained context"), rows, right="1"),
    )


def _embedding_context(card: ModelCard, length: int) -> str:
    dimensions = card.architecture.embedding_length if card.architecture else None
    vectors = f" Its vectors have {dimensions} dimensions." if dimensions else ""
    notes = " ".join(sentence(note) for note in card.notes)
    return paragraphs(
        f"`{card.name}` is listed with {length:,} tokens per text; longer texts are cut.{vectors}",
        notes,
    )


def compose_ability_list(cards: Sequence[ModelCard], aspect: Aspect, as_of: str) -> str:
    """Return the families with an ability, those that are not outdated first."""
    families: dict[str, bool] = {}
    for card in cards:
        fresh = "outdated" not in card.cautions
        families[card.family] = families.get(card.family, False) or fresh
    current = join_words([f"`{name}`" for name, fresh in families.items() if fresh])
    older = join_words([f"`{name}`" for name, fresh in families.items() if not fresh])
    return paragraphs(
        f"Models with {_ABILITY[aspect]} in the catalog of {as_of}: {current or 'none'}.",
        f"Older ones that have it too: {older}." if older else None,
    )


def _has_ability(card: ModelCard, aspect: Aspect) -> bool:
    """Return True when the library lists the ability, or the card's note says so."""
    if aspect in card.capabilities:
        return True
    return aspect == "insert" and any(note.startswith("Completes code") for note in card.notes)


def _ability(cards: Sequence[ModelCard], aspect: Aspect, relatives: Sequence[ModelCard]) -> str:
    having = [card for card in cards if _has_ability(card, aspect)]
    lacking = [card for card in cards if not _has_ability(card, aspect)]
    others = [c for c in relatives if _has_ability(c, aspect) and c not in cards]
    what = _ABILITY[aspect]
    tags = [t.name for c in cards for t in c.tags if aspect in (t.capabilities or ())]
    notes = " ".join(dict.fromkeys(sentence(n) for card in cards for n in card.notes))
    if not lacking:
        return paragraphs(f"Yes: {_names(having)} {_has(having)} {what}.", notes)
    if not having:
        if tags:
            listed = join_words([f"`{tag}`" for tag in tags[:3]])
            lead = f"Only with the right build: {listed} {_has(cards)} {what}."
            return paragraphs(lead, notes)
        contrast = f"{_names(others)} {_has(others)} it." if others else None
        lead = f"No: the catalog lists no {what} for {_names(lacking)}."
        return paragraphs(" ".join(filter(None, (lead, contrast))), notes)
    return paragraphs(
        f"Some sizes: {_names(having)} {_has(having)} {what}, {_names(lacking)} not.", notes
    )


def _has(cards: Sequence[ModelCard]) -> str:
    return "has" if len(cards) == 1 else "have"


def _release(cards: Sequence[ModelCard]) -> str:
    card = cards[0]
    publisher = f" by {card.publisher}" if card.publisher else ""
    size = parameters_text(card)
    parameters = f" It has {size} parameters." if size else ""
    if card.release is None:
        return f"The catalog does not know when `{card.name}` was released{publisher}.{parameters}"
    return f"`{card.name}` ({card.title}) was released{publisher} in {card.release}.{parameters}"


def _sizes(cards: Sequence[ModelCard]) -> str:
    if len(cards) == 1:
        card = cards[0]
        tag = default_tag(card)
        if tag is None or tag.download_bytes is None:
            return f"The catalog does not know the download size of `{card.name}`."
        lead = f"`{tag.name}` is a download of {gb(tag.download_bytes)} ({tag.quantization})."
        others = [t for t in card.tags if t.pullable and t.download_bytes and t is not tag]
        others = sorted(others, key=lambda t: t.download_bytes or 0)[:14]
        rows = [(t.name, t.quantization or "-", gb(t.download_bytes or 0)) for t in others]
        rest = table(("other tags", "quantization", "download"), rows, right="2") if rows else None
        return paragraphs(lead, rest)
    rows = []
    for card in cards:
        tag = default_tag(card)
        size = gb(tag.download_bytes) if tag and tag.download_bytes else "unknown"
        rows.append((card.name, (tag.quantization if tag else None) or "-", size))
    return paragraphs(
        f"{cards[0].family} comes in {len(cards)} sizes.",
        table(("model", "quantization", "download"), rows, right="2"),
    )


def _overview(cards: Sequence[ModelCard]) -> str:
    if len(cards) > 1:
        rows = [
            (
                card.name,
                parameters_text(card) or "-",
                tokens(card.context_length) if card.context_length else "-",
                card.licence.name or "-",
                card.release or "-",
            )
            for card in cards
        ]
        head = ("model", "parameters", "context", "licence", "release")
        lead = f"{cards[0].family} comes in {len(cards)} sizes{_age(cards)}."
        return paragraphs(lead, table(head, rows))
    card = cards[0]
    tag = default_tag(card)
    facts = [
        ("parameters", parameters_text(card)),
        ("context", tokens(card.context_length) if card.context_length else None),
        ("licence", licence_text(card)),
        ("languages", languages_text(card)),
        ("capabilities", join_words(sorted(card.capabilities)) or None),
        ("release", card.release),
        ("download", gb(tag.download_bytes) if tag and tag.download_bytes else None),
    ]
    rows2 = [(name, text) for name, text in facts if text]
    publisher = f" by {card.publisher}" if card.publisher else ""
    lead = f"`{card.name}` is {card.title}{publisher}{_age(cards)}."
    notes = " ".join(sentence(note) for note in card.notes)
    return paragraphs(lead, table((card.name, ""), rows2), notes)


def _age(cards: Sequence[ModelCard]) -> str:
    if all("outdated" in card.cautions for card in cards):
        return "; by now it is outdated, and `assistant recommend` names what replaced it"
    return ""
