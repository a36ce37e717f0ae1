"""What an answer may say: facts from tool results, the composed answer, and cited passages.

Pure. Units of values in tool results come from their keys (`download_bytes`,
`decode_tokens_per_s`, `num_ctx`, ...). Arguments of tool calls are no evidence: a language model
may have written them. A person's own notes back only what is cited to them, and neither links
nor commands.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from assistant.agent.claims import (
    Around,
    Claim,
    canonical_level,
    canonical_licence,
    read_claims,
    squash,
)
from assistant.agent.figures import BINARY, BYTES, Figure, plain_digits
from assistant.agent.markdown_units import LONGEST_UNIT, read_units
from assistant.agent.model_words import ModelWords, NamedModel
from assistant.agent.records import ToolCall
from assistant.units import gb, gib, tokens

_BYTE_KEYS: Final = {
    "weights_bytes": "weights", "kv_cache_bytes": "kv_cache", "compute_buffer_bytes": "buffer",
    "download_bytes": "download", "missing_bytes": "missing", "total_bytes": "memory",
    "vram_bytes": "memory", "ram_bytes": "memory", "bytes": "memory",
}  # fmt: skip
_TOKEN_KEYS: Final = {
    "num_ctx": None, "requested_num_ctx": None, "context_length": "trained",
    "trained_num_ctx": "trained", "max_num_ctx_on_gpu": None,
}  # fmt: skip
_MODEL_KEYS: Final = ("resolved", "tag", "model")
_HAS_KEYS: Final = frozenset({"machine", "accelerators", "ram", "disk", "cpu", "container"})
_NOUNS: Final = {
    "layers": "layer", "gpu_layers": "layer", "physical_cores": "core", "logical_cores": "thread",
    "expert_layers_on_host": "layer", "num_parallel": "request", "num_batch": None,
}  # fmt: skip
_WORD = re.compile(r"[\w.+-]*\w", re.UNICODE)
_OF_MODELS: Final = frozenset({"download", "kv_cache", "weights", "buffer", "missing"})
_GOES_ON = re.compile(r"\W*(?:It|Its|This model|That)\b")
_RELATIVE_CAP: Final = 0.1


class PassageLike(Protocol):
    """What evidence needs of a passage: its text and whether it is bundled with us."""

    @property
    def text(self) -> str:
        """The passage itself."""
        ...

    @property
    def guide(self) -> str:
        """The title of the guide or document."""
        ...

    @property
    def section(self) -> str:
        """The heading."""
        ...

    @property
    def origin(self) -> str:
        """`bundled` or `own`."""
        ...


@dataclass(frozen=True, slots=True)
class Fact:
    """One backed value. `text` is how we would write it; `source` the passage that says it."""

    kind: str
    value: float | str
    text: str
    unit: str = ""
    subject: NamedModel | None = None
    level: str | None = None
    num_ctx: float | None = None
    attribute: str | None = None
    have: bool = False
    source: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where one estimate lands: gpu, partial, cpu or none."""

    subject: NamedModel
    level: str | None
    verdict: str


@dataclass(slots=True)
class Evidence:
    """Everything that may be said. Build it with `gather_evidence`."""

    words: ModelWords
    facts: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    models: list[NamedModel] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    known_words: set[str] = field(default_factory=set)
    own_words: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    sentences: set[str] = field(default_factory=set)
    wordings: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    picks: list[NamedModel] = field(default_factory=list)
    lead: str = ""
    citations: int = 0

    def add_fact(self, fact: Fact) -> None:
        """Add one fact; zeros say nothing."""
        self.facts[fact.kind].append(fact)


def gather_evidence(
    tool_calls: Sequence[ToolCall],
    *,
    composed: str = "",
    passages: Sequence[PassageLike] = (),
    words: ModelWords | None = None,
) -> Evidence:
    """Return the evidence in tool results, the composed answer and the passages.

    Passages are cited as [1], [2], ... in their order. `words` recognises model names.
    """
    evidence = Evidence(words or ModelWords())
    evidence.citations = len(passages)
    for call in tool_calls:
        if call.name != "search_guides":
            _Walk(evidence).value(call.result, Around(), have=False)
            evidence.picks += _picks(evidence.words, call)
    evidence.lead = composed.strip().split("\n\n")[0]
    _add_text(evidence, composed)
    for number, passage in enumerate(passages, start=1):
        own = passage.origin != "bundled"
        _add_text(evidence, passage.text, source=number if own else None)
        heading = f"{passage.guide}: {passage.section}"
        _add_text(evidence, heading, source=number if own else None)
    _index_models(evidence)
    return evidence


def backs(fact: Fact, claim: Claim) -> bool:
    """Return True when `fact` is what `claim` says, rounding and GB against GiB allowed."""
    if fact.subject and claim.subject and not fact.subject.is_like(claim.subject):
        return False
    if fact.level and claim.level and not claim.level_is(fact.level):
        return False
    if fact.attribute and claim.attribute and not _same_attribute(fact, claim):
        return False
    if claim.figure is None:
        same = fact.value == claim.value
        return same or (claim.kind == "licence" and str(fact.value).startswith(claim.value))
    figure = claim.figure
    if figure.kind == "bytes":
        of_a_model = claim.need or claim.attribute in _OF_MODELS
        if (of_a_model and fact.have) or (claim.have and _only_needed(fact)):
            return False
        if _other_context(fact, claim):
            return False
    return any(_near(fact, amount, half) for amount, half in _amounts(figure, fact))


def _only_needed(fact: Fact) -> bool:
    return fact.subject is not None and not fact.have and fact.unit == ""


def _same_attribute(fact: Fact, claim: Claim) -> bool:
    return fact.attribute == claim.attribute


def _other_context(fact: Fact, claim: Claim) -> bool:
    if fact.num_ctx is None or claim.num_ctx is None or fact.attribute in {"download", "weights"}:
        return False
    return abs(fact.num_ctx - claim.num_ctx) > 0.03 * fact.num_ctx


def _amounts(figure: Figure, fact: Fact) -> Iterator[tuple[float, float]]:
    """Yield the values that a figure can mean, each with half of its last place."""
    if figure.kind == "bytes":
        yield figure.value, figure.half * BYTES[figure.unit]
        if fact.have and figure.unit in BINARY:
            factor = BINARY[figure.unit]
            yield figure.number * factor, figure.half * factor
    elif figure.kind == "tokens" and figure.unit == "k":
        yield figure.number * 1024, figure.half * 1024
        yield figure.number * 1000, figure.half * 1000
    elif figure.kind == "tokens" and figure.unit in {"m", "million"}:
        yield figure.number * 1024**2, figure.half * 1024**2
        yield figure.number * 1e6, figure.half * 1e6
    else:
        scale = figure.value / figure.number if figure.number else 1.0
        yield figure.value, figure.half * scale


def _near(fact: Fact, amount: float, half: float) -> bool:
    if not isinstance(fact.value, float):
        return False
    allowed = min(half, _RELATIVE_CAP * abs(fact.value)) if fact.value else 0.0
    return abs(amount - fact.value) <= allowed * (1 + 1e-9) + 1e-9 * abs(amount)


class _Walk:
    """Collects facts from the JSON values of one tool result."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def value(self, value: Any, around: Around, *, have: bool, key: str = "") -> None:
        """Collect from any JSON value; `key` is the name it stands under."""
        if isinstance(value, Mapping):
            self._object(value, around, have=have or key in _HAS_KEYS)
        elif isinstance(value, str):
            self._text(value, around, key, have=have)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self.value(item, around, have=have or key in _HAS_KEYS, key=key)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            self._number(float(value), around, key, have=have)

    def _object(self, value: Mapping[str, Any], around: Around, *, have: bool) -> None:
        named = next((value[k] for k in _MODEL_KEYS if isinstance(value.get(k), str)), None)
        subject = self.evidence.words.read(named) if named else around.subject
        level = value.get("quantization")
        level = canonical_level(level) if isinstance(level, str) else around.level
        num_ctx = value.get("num_ctx")
        num_ctx = float(num_ctx) if isinstance(num_ctx, int) else around.num_ctx
        inner = Around(subject, level, num_ctx)
        placement = value.get("placement")
        if subject and isinstance(placement, Mapping) and placement.get("verdict"):
            self.evidence.verdicts.append(Verdict(subject, level, str(placement["verdict"])))
        for key, item in value.items():
            self.value(item, inner, have=have, key=key)

    def _text(self, text: str, around: Around, key: str, *, have: bool) -> None:
        if key in {*_MODEL_KEYS, "name"} and ":" in text:
            self.evidence.tags.add(text.lower())
            self.evidence.models.append(self.evidence.words.read(text))
        if key == "release":
            _add_date(self.evidence, text, around)
        if key in {"license", "license_name"}:
            fact = Fact("licence", canonical_licence(text), text, subject=around.subject)
            self.evidence.add_fact(fact)
        if key == "commercial_use":
            self.evidence.add_fact(Fact("commercial", text, text, subject=around.subject))
        if key in {"quantization", "best_quantization_on_gpu", "kv_cache_type"}:
            self._level(text, around)
        _add_text(self.evidence, text, around=around, have=have)

    def _level(self, text: str, around: Around) -> None:
        level = canonical_level(text)
        if level:
            self.evidence.add_fact(Fact("level", level, text, subject=around.subject))

    def _number(self, value: float, around: Around, key: str, *, have: bool) -> None:
        if value == 0:
            return
        fact = _number_fact(key, value, around, have=have)
        self.evidence.add_fact(fact)


def _number_fact(key: str, value: float, around: Around, *, have: bool) -> Fact:
    """Return the fact of a number under a key; what a machine has is tied to no model."""
    tied = Fact("number", value, f"{value:g}", attribute=_NOUNS.get(key))
    if not have:
        tied = replace(tied, subject=around.subject, level=around.level)
    if key.endswith("bytes"):
        attribute = None if have else _BYTE_KEYS.get(key)
        shown = gb(value) if attribute == "download" else gib(value)
        num_ctx = None if have else around.num_ctx
        return replace(
            tied, kind="bytes", text=shown, attribute=attribute, have=have, num_ctx=num_ctx
        )
    if key in _TOKEN_KEYS:
        shown = f"{tokens(int(value))} tokens"
        return replace(tied, kind="tokens", text=shown, attribute=_TOKEN_KEYS[key], level=None)
    if key in {"low", "expected", "high"}:
        return replace(tied, kind="speed", text=f"{value:.0f} tokens/s")
    if key.startswith("parameters_"):
        return replace(tied, kind="parameters", text=f"{value / 1e9:.1f}B", level=None)
    if key.endswith("percent"):
        return replace(tied, kind="percent", text=f"{value:g} %")
    if key == "quality_loss":
        return replace(tied, kind="percent", value=100 * value, text=f"{100 * value:.1f} %")
    if key == "bandwidth_gb_per_s":
        return replace(tied, kind="bandwidth", text=f"{value:g} GB/s", subject=None, level=None)
    return tied


def _add_date(evidence: Evidence, text: str, around: Around) -> None:
    if re.fullmatch(r"\d{4}-\d\d(?:-\d\d)?", text):
        evidence.add_fact(Fact("date", text[:7], text, subject=around.subject))
        evidence.add_fact(Fact("year", float(text[:4]), text[:4], subject=around.subject))


def _add_text(
    evidence: Evidence,
    text: str,
    *,
    source: int | None = None,
    around: Around | None = None,
    have: bool = False,
) -> None:
    """Add what a text says: its sentences, words, models, and the facts in each sentence."""
    if not text.strip():
        return
    known = evidence.known_words if source is None else evidence.own_words[source]
    known.update(w for word in _WORD.findall(plain_digits(text)) for w in _parts(word))
    if source is None:
        evidence.wordings.append(flat(text))
    carried: tuple[int, NamedModel | None] = (-1, None)
    for unit in read_units(text):
        if source is None:
            evidence.sentences.add(flat(unit.text))
        if len(unit.text) > LONGEST_UNIT or unit.kind == "space":
            continue
        inside = around or Around()
        if unit.block == carried[0] and _GOES_ON.match(unit.text):
            inside = replace(inside, subject=carried[1])
        named = evidence.words.find(unit.text)
        if named or unit.block != carried[0]:
            carried = (unit.block, named[-1] if named else None)
        for cell, inner in unit.cells(evidence.words, inside):
            reading = read_claims(cell, evidence.words, inner)
            if source is None:
                evidence.models += reading.models
                evidence.tags |= {m.tag for m in reading.models if m.tag}
            for claim in reading.claims:
                evidence.add_fact(_fact_of(claim, source, have=have))


def _fact_of(claim: Claim, source: int | None, *, have: bool) -> Fact:
    figure = claim.figure
    return Fact(
        kind=claim.kind,
        value=claim.value if figure is None else figure.value,
        text=claim.text,
        unit=(figure.unit if figure else "") or "-",
        subject=claim.subject,
        level=claim.level,
        num_ctx=claim.num_ctx,
        attribute=claim.attribute or (figure.noun if figure else None),
        have=claim.have or have,
        source=source,
    )


def _index_models(evidence: Evidence) -> None:
    """Add what model names and levels say themselves: nominal sizes, bits."""
    unique = {(m.family, m.size, m.tag): m for m in evidence.models}
    evidence.models = list(unique.values())
    for named in evidence.models:
        size = re.fullmatch(r"e?(\d+(?:\.\d+)?)([bm])", named.size or "")
        if size:
            value = float(size[1]) * (1e9 if size[2] == "b" else 1e6)
            evidence.add_fact(Fact("parameters", value, named.size or "", subject=named))
    for fact in list(evidence.facts["level"]):
        bits = re.search(r"\d+", str(fact.value))
        if bits:
            evidence.add_fact(Fact("bits", float(bits.group()), f"{bits.group()}-bit"))


def _picks(words: ModelWords, call: ToolCall) -> Iterable[NamedModel]:
    picks = call.result.get("picks") or []
    chosen = call.result.get("chosen")
    rows = [*picks, *([chosen] if chosen else [])]
    return [words.read(row["model"]) for row in rows if isinstance(row.get("model"), str)]


def _parts(word: str) -> Iterator[str]:
    lowered = word.lower()
    yield lowered
    yield squash(word)
    yield from re.split(r"[._+-]+", lowered)


def flat(text: str) -> str:
    """Return a text without Markdown emphasis and with single spaces, for comparing wordings."""
    return " ".join(re.sub(r"[*`]|(?<!\w)_|_(?!\w)", "", text).split()).strip()
