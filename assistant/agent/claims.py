"""What a sentence claims: its figures, models, quantizations, licences, dates, links, commands.

Pure. Each claim knows, where the words tell it, which model it is about, at which quantization
and context, and what the figure is of (download, KV cache, ...).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from assistant.agent.figures import Figure, Kind, Span, find_figures, plain_digits
from assistant.agent.model_words import ModelWords, NamedModel, blank
from assistant.models.names import parse_quantization

_URL = re.compile(
    r"(?:https?|ftp|file|ssh|git)://\S+|\bwww\.\S+|!?\[[^\]\n]{0,200}\]\([^)\n]{0,400}\)"
    r"|\b[\w-]{1,60}(?:\.[\w-]{1,60}){0,3}\.(?:com|org|net|io|ai|dev|co|app|xyz|ru|cn|info|sh)\b"
    r"(?:/\S*)?|\bhf\.co/\S+",
    re.IGNORECASE,
)  # fmt: skip
_CODE = re.compile(r"`([^`\n]{1,300})`")
_COMMAND_CODE = re.compile(r"[\s$|;&<>\\]|--|^[/~.]")
_COMMAND = re.compile(
    r"(?:\b(?:sudo|curl|wget|pip3?|npm|npx|apt|apt-get|brew|docker|chmod|chown|powershell|bash|sh|"
    r"python3?|git|conda|snap|systemctl|setx?|export|rm|dd|mkfs|eval)[ ]+[-\w./~:=$\"']*[-./=:\w]"
    r"|\b(?:ollama|assistant)[ ]+(?:pull|run|create|rm|cp|push|serve|show|stop|list|ps|launch|ask|"
    r"fit|recommend|setup|hardware|doctor|tune|chat|guides|models|modelfile|rollback)\b(?:[ ]+[-\w.:/]*[\d:/-][\w.:/-]*"
    r")?)(?:[ ]+--?[\w-]+)*"
)
_COMMAND_WORDS: Final = frozenset(
    {"set", "export", "sh", "bash", "snap", "git", "eval", "docker", "python", "python3"}
)
_SETTING = re.compile(r"(?<![\w-])--[a-z][\w-]+|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")
_MARKUP = re.compile(r"<[/!a-zA-Z][^<>\n]{0,200}>|<\|[^|\n]{0,60}\|>|\[/?INST\]")
_CITATION = re.compile(r"\[(\d{1,3})\]")
_LEVEL = re.compile(
    r"(?<![\w.-])(?:(?:i?q|tq)[1-8](?:[_-]?[k01](?:[_-](?:xxs|xs|[sml]))?|_(?:nl|xs|xxs|[sm]))?"
    r"|b?f(?:p|loat)?[ _-]?(?:16|32)|int[48]|[mn][xv]fp[48]|half[ -]precision|full[ -]precision)"
    r"(?![\w.]*\w)",
    re.IGNORECASE,
)
_LICENCE = re.compile(
    r"\b(?:(?P<apache>apache)(?:[ -](?:licen[cs]e)?,?[ -]?(?:version )?v?(?P<apache_v>\d(?:\.\d)?))?"
    r"|(?P<cc>cc[ -]by(?:[ -](?:nc|sa|nd))*)(?:[ -]\d\.\d)?"
    r"|(?P<gnu>[al]?gpl)(?:[ -]?v?\d(?:\.\d)?)?|(?P<bsd>bsd)(?:[ -]\d(?:-clause)?)?|(?P<mpl>mpl)\b"
    r"|(?P<rail>(?:open)?rail(?:-m)?|creativeml)|(?P<public>public domain|cc0|unlicense)"
    r"|(?P<open>open[ -]?source(?: licen[cs]e)?|proprietary|closed[ -]source)"
    r"|(?P<named>(?:(?:llama|gemma|qwen|mistral|deepseek|falcon|nvidia|stability|microsoft|lfm|glm|"
    r"tongyi|exaone|minicpm|tii|yi|meta|google|alibaba|cohere)(?:[ -][\w.]+){0,3}[ -])"
    r"(?:licen[cs]e|terms)(?: agreement| of use)?))\b",
    re.IGNORECASE,
)
OPENNESS: Final = frozenset({"opensource", "closedsource", "proprietary"})
_MIT = re.compile(r"\b(?:modified )?MIT\b(?! (?:researchers?|study|press|students?))")
_MONTHS: Final = (
    "january february march april may june july august september october november december".split()
)
_DATE = re.compile(
    r"\b(?P<iso>(?:19|20)\d\d-[01]\d(?:-[0-3]\d)?)\b"
    rf"|\b(?P<month>{'|'.join(_MONTHS)}|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?)"
    r"\s+(?:[0-3]?\d(?:st|nd|rd|th)?,?\s+)?(?P<year>(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_MIXED = re.compile(r"(?<![\w.])(?=[\w.+-]*[A-Za-z])(?=[\w.+-]*\d)[A-Za-z0-9][\w.+-]*", re.ASCII)
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_RATIO = re.compile(
    r"\b(?:twice|thrice|double[sd]?|triple[sd]?|quadruple[sd]?|halve[sd]?|half(?![ -]precision)"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|hundred)fold"
    r"|(?:several|few|couple|dozens|hundreds|thousands|millions|billions|trillions)(?: of)?"
    r"(?= (?:[kmgt]i?b|gigabytes?|megabytes?|gigs|tokens?|percent|parameters|dollars)\b)"
    r"|(?:dozens|hundreds|thousands|millions|billions|trillions)(?: of)?)\b",
    re.IGNORECASE,
)
_ATTRIBUTES: Final = (
    ("download", r"download\w*|file(?: size)?|on disk|disk space"),
    ("kv_cache", r"kv[ -]?cache|(?<!prompt )cache|keys and values"),
    ("weights", r"weights?"),
    ("buffer", r"(?:compute )?buffers?"),
    ("missing", r"(?:too (?:much|many|large|big)|short|missing|misses)(?: by)?"),
    ("memory", r"needs?|needing|requires?|requiring|memory|v?ram|takes?(?: up)?|uses?|occupies"),
    ("trained", r"trained|training|native(?:ly)?"),
    ("prompt", r"prompt (?:processing|evaluation|eval|reading)|prefill"),
)
_BEFORE = re.compile(
    "|".join(f"(?P<{name}>\\b(?:{words})\\b)" for name, words in _ATTRIBUTES), re.IGNORECASE
)
_AFTER = re.compile(
    r"\s*(?:of |for (?:the |its )?|in |as )?(?:the |its )?(?:(?P<download>download|file|on disk)"
    r"|(?P<kv_cache>kv[ -]?cache|cache)|(?P<weights>weights)|(?P<buffer>buffers?)"
    r"|(?P<missing>more\b|too (?:much|many)|short|over\b))",
    re.IGNORECASE,
)
_HAVE_AFTER = re.compile(
    r"\s*(?:(?:of )?(?:gpu|cards?|free|available|v?ram|video memory|system (?:ram|memory)|graphics|"
    r"laptop|machine|computer|pc|mac)\b|(?:that )?(?:is|are) (?:free|available)\b)",
    re.IGNORECASE,
)
_HAVE_BEFORE = re.compile(
    r"\b(?:free|available)(?: (?:gpu |video )?(?:v?ram|memory))?\s*(?::|is|of)?\s*$", re.IGNORECASE
)
_OF_BEFORE = re.compile(r"\d ?[KMGT]i?B of (?:the |its |your |a )?$", re.IGNORECASE)
_NEED_BEFORE = re.compile(
    r"\b(?:needs?|needing|requires?|requiring|takes?(?: up)?|taking|uses?|using|occupies|consumes?|"
    r"weighs?|download(?: size)? (?:is|of)|size (?:is|of))\s+(?:about |around |roughly |only |just |"
    r"approximately |a total of |at least |up to |some |~|≈|nearly |almost )*$",
    re.IGNORECASE,
)
_NEED_AFTER = re.compile(
    r"\s*(?:of \w+ )?(?:(?:is|are) )?(?:needed|required|necessary)\b", re.IGNORECASE
)
_AT_CONTEXT = re.compile(
    r"\b(?:at|with|for|using)\s+(?:a |an |about |only |just )*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing a text says that must be backed.

    `kind` is a figure's kind or model, level, licence, date, year, word, link, command, ratio;
    `value` is canonical for those that are text. `have` marks memory that a machine has.
    """

    kind: str
    span: Span
    text: str
    value: str = ""
    figure: Figure | None = None
    model: NamedModel | None = None
    subject: NamedModel | None = None
    level: str | None = None
    num_ctx: float | None = None
    attribute: str | None = None
    have: bool = False
    need: bool = False

    def level_is(self, level: str) -> bool:
        """Return True when the level this claim is about can be `level` (`Q4` is any Q4)."""
        return self.level is None or _covers(self.level, level) or _covers(level, self.level)


def _covers(short: str, level: str) -> bool:
    return level == short or level.startswith(f"{short}_")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text with its claims in order, the models it names, and the citations [n] in it."""

    claims: tuple[Claim, ...]
    models: tuple[NamedModel, ...]
    citations: tuple[tuple[int, Span], ...] = ()
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Around:
    """What the surroundings of a text say about it: its subject, and a table's column head."""

    subject: NamedModel | None = None
    level: str | None = None
    num_ctx: float | None = None
    head: str = ""


@dataclass(slots=True)
class _Scan:
    text: str
    left: str
    claims: list[Claim] = field(default_factory=list)

    def take(self, kind: str, span: Span, value: str = "", **more: object) -> None:
        start, end = span
        claim = Claim(kind, span, self.text[start:end], value or self.text[start:end])
        self.claims.append(replace(claim, **more))  # type: ignore[arg-type]
        self.left = blank(self.left, [span])


def read_claims(text: str, words: ModelWords, around: Around | None = None) -> Reading:
    """Return what `text` (a sentence, a table cell) claims."""
    around = around or Around()
    text = plain_digits(text)
    scan = _Scan(text, text)
    citations = tuple((int(m[1]), m.span()) for m in _CITATION.finditer(text))
    scan.left = blank(text, [span for _, span in citations])
    _take_links_and_commands(scan)
    for match in _LICENCE.finditer(scan.left):
        if match["named"]:
            scan.take("licence", match.span(), canonical_licence(match.group()))
    models = words.find(scan.left)
    for named in models:
        scan.take("model", named.span, named.tag or named.family, model=named)
    _take_names_of_things(scan)
    _take_figures(scan, around.head)
    claims = sorted(scan.claims, key=lambda claim: claim.span)
    levels = tuple(dict.fromkeys(c.value for c in claims if c.kind == "level"))
    tied = tuple(_tie(claim, claims, models, text, around) for claim in claims)
    return Reading(tied, tuple(models), citations, levels)


def _take_links_and_commands(scan: _Scan) -> None:
    for match in _MARKUP.finditer(scan.left):
        scan.take("markup", match.span())
    for match in _URL.finditer(scan.left):
        scan.take("link", match.span())
    for match in _CODE.finditer(scan.left):
        if _COMMAND_CODE.search(match[1]):
            scan.take("command", match.span(1))
    for match in _COMMAND.finditer(scan.left):
        first = match.group().split(" ")[0].lower()
        certain = first not in _COMMAND_WORDS or re.search(r"[-./=:$]", match.group())
        if certain:
            scan.take("command", match.span())
    for match in _SETTING.finditer(scan.left):
        scan.take("setting", match.span())


def _take_names_of_things(scan: _Scan) -> None:
    for match in _LEVEL.finditer(scan.left):
        level = canonical_level(match.group())
        if level:
            scan.take("level", match.span(), level)
    for match in [*_LICENCE.finditer(scan.left), *_MIT.finditer(scan.left)]:
        scan.take("licence", match.span(), canonical_licence(match.group()))
    for match in _DATE.finditer(scan.left):
        scan.take("date", match.span(), _canonical_date(match))
    for match in _RATIO.finditer(scan.left):
        scan.take("ratio", match.span(), match.group().lower())


def _take_figures(scan: _Scan, head: str) -> None:
    known = find_figures(scan.left)
    units = [f.span for f in known if f.kind != "number" or f.noun or f.is_version]
    units += [match.span() for match in _ORDINAL.finditer(scan.left)]
    for match in _MIXED.finditer(scan.left):
        if not any(a < match.end() and match.start() < b for a, b in units):
            scan.take("word", match.span(), squash(match.group()))
    in_head = _head_kind(head)
    for figure in find_figures(scan.left):
        if figure.in_words and figure.kind == "number" and not _counts(figure):
            continue
        if figure.kind == "number" and not figure.noun and in_head and not figure.is_version:
            figure = replace(figure, kind=in_head[0], unit=in_head[1])  # noqa: PLW2901
        kind = figure.kind
        if kind == "number" and not figure.noun and _is_year(figure):
            scan.take("year", figure.span, figure=figure)
        elif figure.is_version:
            scan.take("word", figure.span, squash(scan.text[slice(*figure.span)]))
        else:
            scan.take(kind, figure.span, figure=figure)


def _counts(figure: Figure) -> bool:
    """Return True when a number in words without a unit counts something or is large."""
    return figure.number > 10 or (figure.noun is not None and figure.number != 1)


def _is_year(figure: Figure) -> bool:
    return figure.half == 0.5 and 1990 <= figure.number <= 2099 and not figure.in_words


def _head_kind(head: str) -> tuple[Kind, str] | None:
    """Return the kind and unit that a column's head gives to the bare numbers below it."""
    if not head:
        return None
    for text in (head, *re.findall(r"\(([^)]+)\)|\bin (\S+)", head)):
        for part in text if isinstance(text, tuple) else (text,):
            found = find_figures(f"1 {part.strip()}") if part.strip() else []
            if found and found[0].kind != "number":
                return found[0].kind, found[0].unit
    return None


def _tie(
    claim: Claim, claims: list[Claim], models: list[NamedModel], text: str, around: Around
) -> Claim:
    """Return the claim with its model, level, context and what the figure is of."""
    if claim.kind in {"model", "link", "command", "setting", "markup", "word", "ratio"}:
        return claim
    start, end = claim.span
    before = [m for m in models if m.span[1] <= start]
    subject = before[-1] if before else around.subject
    if subject is None and models:
        subject = models[0]
    levels = [c for c in claims if c.kind == "level" and c is not claim and not _of_cache(c, text)]
    earlier = [c.value for c in levels if c.span[1] <= start]
    level = earlier[-1] if earlier else around.level
    have = _is_had(claim, claims, text)
    window = re.split(r"[;:.!?](?:\s|$)|[|(]", text[max(0, start - 60) : start])[-1]
    return replace(
        claim,
        subject=subject,
        level=level,
        num_ctx=_context_of(claims, text) or around.num_ctx,
        attribute=None if have else _attribute(window, text, end, around.head),
        have=have,
        need=bool(_NEED_BEFORE.search(window) or _NEED_AFTER.match(text, end)),
    )


def _is_had(claim: Claim, claims: list[Claim], text: str) -> bool:
    """Return True for memory that a machine has: `12 GB card`, `11.3 of 12 GiB free`."""
    start, end = claim.span
    if claim.kind != "bytes":
        return False
    before = text[max(0, start - 40) : start]
    if _HAVE_AFTER.match(text, end) or _OF_BEFORE.search(before) or _HAVE_BEFORE.search(before):
        return True
    return any(
        other.span[0] > end and other.kind == "bytes" and _HAVE_AFTER.match(text, other.span[1])
        for other in claims
        if claim.figure and claim.figure.inherited and "of" not in text[end : end + 4]
    )


def _of_cache(claim: Claim, text: str) -> bool:
    return (
        re.match(r"[`*]*\s+(?:kv|cache|k/v)", text[claim.span[1] :][:20], re.IGNORECASE) is not None
    )


def _context_of(claims: list[Claim], text: str) -> float | None:
    found = [
        claim.figure.value
        for claim in claims
        if claim.kind == "tokens"
        and claim.figure
        and _AT_CONTEXT.search(text[max(0, claim.span[0] - 30) : claim.span[0]])
    ]
    return found[0] if len(set(found)) == 1 else None


def _attribute(window: str, text: str, end: int, head: str) -> str | None:
    after = _AFTER.match(text, end)
    if after and after.lastgroup:
        return after.lastgroup
    last: re.Match[str] | None = None
    for match in _BEFORE.finditer(window):
        follows = last is not None and match.start() - last.end() <= 2
        if not (follows and match.lastgroup == "memory"):
            last = match
    if last:
        return last.lastgroup
    first = _BEFORE.search(head) if head else None
    return first.lastgroup if first else None


def canonical_level(text: str) -> str | None:
    """Return `Q4_K_M` for every way of writing it; `Q4` stays a prefix of its kind."""
    word = text.lower()
    if word.startswith(("half", "full")):
        return "F16" if word.startswith("half") else "F32"
    bare = re.fullmatch(r"(i?q[1-8])(_?k)?", word)
    if bare:
        return word.replace("_", "").upper()
    return parse_quantization(word) or word.upper()


def canonical_licence(text: str) -> str:
    """Return one spelling of a licence: `apache2.0`, `llama3.1community`, `mit`."""
    word = re.sub(r"\b(?:licen[cs]e|agreement|terms|of use|version|the)\b", "", text.lower())
    word = re.sub(r"[\s_-]+", "", word).replace(",", "")
    match = re.fullmatch(r"apache(?:v?(\d)(?:\.\d)?)?", word)
    return "apache" if match else re.sub(r"^(opensource|closedsource|proprietary).*", r"\1", word)


def _canonical_date(match: re.Match[str]) -> str:
    if match["iso"]:
        return match["iso"]
    month = match["month"].lower()[:3]
    number = next(i for i, name in enumerate(_MONTHS, start=1) if name.startswith(month))
    return f"{match['year']}-{number:02d}"


def squash(text: str) -> str:
    """Return letters, digits and points alone, in lower case."""
    return re.sub(r"[^a-z0-9.]+", "", text.lower()).rstrip(".")
