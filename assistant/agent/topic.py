"""What a question is about: rules in order, the first that holds decides.

A rule sees the question as read so far and `rest`, its text without the machine and the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from assistant.agent import cues
from assistant.agent.records import Question, Topic

Rule = tuple[Topic, Callable[[Question, str], bool]]

_CHOICE: Final = (
    r"\bbest\b|\brecommend\w*|\bsuggest\w*|\bwhich\b|\bwhat (?:model|llm|embed\w*|runs|can i|"
    r"should)\b|\blooking for\b|\bi (?:want|need)\b|\bfast(?:est)?\b|\bsmall(?:est)?\b"
    r"|\bgood (?:model|llm)\b|\bpick\b|\bchoose\b"
)
_EXPLAIN: Final = (
    r"\A\W*(?:what(?:'?s| is| are| does| do| metadata)|why|explain|how|when|does|do|is|are)\b"
    r"|\bmean(?:s|ing)?\b|\brollback\b|\bevaluat\w*|\bmigrat\w*|\bmetadata\b"
)
_FIT: Final = (
    r"\bfits?\b|\bruns?\b|\brunning\b|\bhandle\b|\bload\b|\benough\b|\bneeds?\b|\brequires?\b"
    r"|\bvram\b|\bram\b|\bmemory\b|\bgpu\b|\bcard\b|\bspill|\boffload|\bdo\b|\bpossible\b|\bwork\b"
)
_COMPARE: Final = (
    r"\bvs\.?\b|\bversus\b|\bcompare|\bcompared\b|\bdifferen|\bbetter\b|\bor\b|\bbetween\b"
    r"|\bfaster\b|\bsmaller\b|\bbigger\b|\bwhich\b|\bdiff\b"
)
_SPEED: Final = r"\bhow fast\b|\bspeed\b|tok(?:en)?s?\s?(?:/|per|a)\s?s|\bt/s\b|\btps\b|\bslow\b"
_TASK: Final = (
    r"\A\W*(?:please |can you |could you )*"
    r"(?:translate|write|rewrite|summari[sz]e|compose|draft|solve|calculate|proofread|paraphrase)"
    r"\s+(?:this|these|that|the following|me|my|a|an|it|\d)"
)
_OWN_COMPUTER: Final = (
    r"\b(?:what|which|how much|show|do|tell)\b.{0,30}\b(?:gpu|cpu|ram|vram|hardware|graphics"
    r"|specs?|memory|card|disk|cores?)\b.{0,30}\b(?:i have|have i|do i|my|this|here|got)\b"
    r"|\b(?:my|this)\b.{0,20}\b(?:hardware|specs?|gpu|cpu|ram|vram)\b\s*\?*\s*\Z"
)
_HERE: Final = r"\b(?:my|this|here)\b.{0,12}\b(?:pc|laptop|computer|machine|mac|desktop|box)"
_DEVICE_FACT: Final = (
    r"\bvram\b|\bmemory\b|\bbandwidth\b|\bspecs?\b|\bhow (?:much|many)\b|\bgb/s\b"
    r"|\bcompute capability\b|\bhow fast is\b|\b(?:have|has|come|comes)\b"
)
_FITTING: Final = r"\bbest\b|\brecommend|\bruns?\b|\bmodels?\b|\bllms?\b|\bfits?\b|\bwhich\b"
_EXPLAINED: Final = (
    r"\bprompts?\b|\btemplates?\b|\bconvert\w*|\bmigrat\w*|\btrain(?:ed|ing)?\b|\bfine-?tun\w*"
    r"|\boutputs?\b|\bwhat'?s new\b|\bchange[ds]?\b|\bimprov\w*|\bhow bad\b|\bquality\b|\bloss\b"
    r"|\bworse\b|\bdegrad\w*|\bbenchmark\w*|\bscores?\b|\bbuilt on\b|\bbased on\b|\bsliding\b"
    r"|\battention\b|\bexplain\b|\bwhy\b|\bmeans?\b|\bdistill\w*|\bgood (?:at|for)\b|\bany good\b"
    r"|\bbase model\b|\bsafe\b|\bharmless\b|\bkids?\b|\breal\b|\bactual\w*\b|\bsame as\b"
    r"|\bnever\b|\bquantized\b|\bggufs?\b|\buseful\b|\bnewest\b|\blatest\b|\boriginal\b|\bv0\.\d\b|\btrained on\b|\bknown for\b|\bspecial\b"
    r"|\bweak\w*|\bstrength\w*|\bhallucinat\w*"
)
"""What the guides explain better than a row of the catalog does."""
_SECRETS: Final = (
    r"\b(?:print|reveal|show|repeat|tell|output|display|dump|leak)\b.{0,40}"
    r"\b(?:system prompt|your (?:instructions|prompt|rules)|hidden prompt|prompt above)\b"
    r"|\bwhat (?:are|is) your (?:instructions|(?:system )?prompt|rules)\b"
)
_NOT_OURS: Final = (
    r"\b(?:stocks?|shares|invest\w*|crypto\w*|bitcoin|horoscope|weather|what time|bombs?)\b"
    r"|\bweapons?\b|\bstable[- ]?diffusion|\bsdxl\b|\bflux\b|\bcomfy ?ui\b|\bdall-?e\b|\bwhisper\b|\bsuno\b"
    r"|\btts\b|\btext[- ]to[- ](?:image|speech|video)\b|\b(?:image|video|music) generat\w*|\A[\W\d]*\Z"
)
"""Subjects that are not language models on one's own computer, image and speech models included."""
_PROCEDURE: Final = (
    r"\bstatistic\w*|\bsignifican\w*|\bmetrics?\b|\bp-?values?\b|\btests?\b|\blatency\b|\bre-?embed\w*"
    r"|\bre-?index\w*|\bchang(?:e|ing)\b|\bswitch\w*|\bswap\w*|\bproduction\b|\bchecklist\b"
    r"|\bdeploy\w*|\bcompar(?:e|ing)\b|\bscores? for\b|\bbenchmark scores?\b"
)
_SYMPTOM: Final = (
    r"\b(?:answers|replies|responds|outputs|keeps|repeats|repeating|stops|crash\w*|hangs|fails|failed|errors?"
    r"|garbage|gibberish|nonsense|loops?|looping|ignores|forgets|cuts? off|truncat\w*)\b"
)
_LEVEL_QUALITY: Final = (
    r"\b(?:ok(?:ay)?|good|fine|worth|bad|usable|acceptable|decent|enough|too low|safe)\b"
)
_TWO_MEMORIES: Final = r"\b(?:same|differen\w*|vs\.?|versus|instead|or|compared)\b"
_AGAINST_HOSTED: Final = r"\bas good\b|\bbetter\b|\bswitch\w*|\bcompar\w*|\bvs\.?\b|\breplac\w*|\bmigrat\w*|\bdifferen\w*"
_PULL: Final = (
    r"\bhow (?:do|can|to|would)\b.{0,16}\b(?:install|download|pull|get|start|run)\b"
    r"|\b(?:install|download|pull) (?:it|that|this)\b"
)
_TABLED: Final = ("licence", "languages", "scores")
"""Aspects that the catalog answers better than any guide."""
_FACTS_OF_A_FAMILY: Final = (
    "licence", "languages", "insert", "tools", "vision", "thinking", "release"
)  # fmt: skip


def find_topic(question: Question, rest: str, *, without: Topic | None = None) -> Topic:
    """Return what the question is about; `without` leaves out a topic that had no answer."""
    if question.unknown_model:
        return "unknown_model"
    names = {mention.name for mention in question.models}
    rules: Sequence[Rule] = _ONE_MODEL
    if not names:
        rules = _NO_MODEL
    elif len(names) > 1:
        rules = _SEVERAL_MODELS
    found = (topic for topic, holds in rules if topic != without and holds(question, rest))
    return next(found, "task")


def _names_a_device(question: Question) -> bool:
    machine = question.machine
    named = (
        [a for a in machine.accelerators if not a.name.startswith("GPU with")] if machine else []
    )
    return bool(named)


def _sized(question: Question) -> bool:
    return bool(question.machine or question.num_ctx or question.claimed_sizes)


def _asks_for_a_model(question: Question, rest: str) -> bool:
    """Return True when a model is wanted, and not an explanation or a procedure."""
    if cues.has(_EXPLAIN, rest) and not cues.has(r"\bbest\b|\bfastest\b|\bsmallest\b", rest):
        return False
    if cues.has(_PROCEDURE, rest) or cues.has(_SYMPTOM, rest):
        return False
    if not cues.has(r"\bmodels?\b|\bllms?\b|\bembed\w*|\bruns?\b|\bai\b", rest):
        return False
    return cues.has(_CHOICE, rest) or bool(question.roles or question.languages)


def _compares_levels(question: Question, rest: str) -> bool:
    return (
        len(question.quantizations) > 1
        and cues.has(_COMPARE, rest)
        and not (question.machine or question.roles)
    )


def _asks_for_memory(question: Question, rest: str) -> bool:
    why = cues.has(r"\bwhy\b", rest) and cues.has(r"\bmemory\b|\bv?ram\b|\bbigger\b", rest)
    how_much = cues.has(r"\bhow much\b.{0,20}\b(?:v?ram|memory|space)\b", rest)
    return why or (how_much and not question.machine)


def _asks_which_level(question: Question, rest: str) -> bool:
    named = cues.has(r"\b(?:which|what|best|right)\b.{0,20}\bquant|\bquanti[sz]ation\b", rest)
    return named or len(question.quantizations) > 1


def _asks_for_a_tag(question: Question, rest: str) -> bool:
    asks = cues.has(r"\bhow (?:do|can|to)\b|\bget\b|\bpull\b|\bdownload\b", rest)
    return asks and bool(question.quantizations) and not _sized(question)


def _asks_for_facts(question: Question, rest: str) -> bool:
    if question.machine:
        return False
    if question.commercial or question.aspect in _FACTS_OF_A_FAMILY:
        return True
    if _sized(question):
        return False
    about_memory = cues.has(r"vram|ram\b", rest)
    return question.aspect == "context" or (
        question.aspect in ("size", "parameters") and not about_memory
    )


def _checks_a_fact(question: Question, rest: str) -> bool:
    """Return True for `X has 8k context, right?`: a claim about the model, not about a machine."""
    return (
        question.machine is None
        and question.aspect == "context"
        and cues.has(
            r"\b(?:has|have|with|is|supports?)\b.*\b(?:right|correct|true|yes|out of the box)\b",
            rest,
        )
    )


def _asks_about_fitting(question: Question, rest: str) -> bool:
    return bool(question.claimed_sizes or question.quantizations) or cues.has(_FIT, rest)


def _here(_: Question, rest: str) -> bool:
    return cues.has(rf"{_HERE}|\bmy\b|\bhere\b|\bi\b|\bthis\b", rest)


def _wants_explanation(question: Question, rest: str) -> bool:
    """Return True for what a guide explains; levels and machines are for the tools."""
    if cues.has(r"\b(?:train|fine-?tun\w*|finetun\w*)\b", rest):
        return True
    if question.machine or question.num_ctx or question.aspect in _TABLED:
        return False
    if question.aspect == "context" and cues.has(r"\bcontext (?:window|length|size)\b", rest):
        return False
    return cues.has(_EXPLAINED, rest)


_NO_MODEL: Final[Sequence[Rule]] = (
    ("task", lambda q, _: cues.has(_SECRETS, q.text) or cues.has(_NOT_OURS, q.text)),
    ("task", lambda q, _: q.machine is None and cues.has(_TASK, q.text)),
    (
        "task",
        lambda q, _: (
            cues.has(r"\A\W*translate\b", q.text)
            and not cues.has(r"\bmodels?\b|\bwhich\b|\bllms?\b|\boffline\b|\blocal", q.text)
        ),
    ),
    (
        "guides",
        lambda q, _: (
            cues.has(r"\bram\b", q.text)
            and cues.has(r"\bvram\b", q.text)
            and cues.has(_TWO_MEMORIES, q.text)
        ),
    ),
    (
        "guides",
        lambda q, _: cues.has(r"\bhow much\b.{0,40}\b(?:can|may)\b.{0,24}\buse\b", q.text),
    ),
    ("guides", lambda q, rest: bool(q.quantizations) and cues.has(_PROCEDURE, rest)),
    (
        "licence_list",
        lambda _, rest: (
            cues.has(r"\blicen[cs]e|\bapache\b|\bmit\b", rest)
            and cues.has(r"\b(?:which|what|list)\b", rest)
        ),
    ),
    (
        "guides",
        lambda q, _: (
            q.machine is None
            and cues.has(r"\b(?:can|does|do|will)\b.{0,24}\b(?:use|support|work with)\b", q.text)
        ),
    ),
    (
        "ability_list",
        lambda q, rest: (
            q.machine is None
            and q.aspect in ("tools", "vision", "thinking", "insert")
            and cues.has(r"\bwhich\b.{0,24}\bmodels\b.{0,12}\b(?:support|have|can|do)\b", rest)
        ),
    ),
    ("guides", lambda q, _: cues.has(r"\b(?:buy|buying|upgrade to|worth buying)\b", q.text)),
    ("my_machine", lambda q, _: q.machine is None and cues.has(_OWN_COMPUTER, q.text)),
    ("compare_machines", lambda q, _: bool(q.alternatives)),
    (
        "device",
        lambda q, rest: (
            _names_a_device(q) and cues.has(_DEVICE_FACT, rest) and not cues.has(_FITTING, rest)
        ),
    ),
    ("guides", lambda q, rest: q.hosted is not None and cues.has(_AGAINST_HOSTED, rest)),
    ("recommend", lambda q, _: q.hosted is not None),
    (
        "other_quantization",
        lambda q, rest: (
            bool(q.quantizations)
            and cues.has(
                r"\bhow\b.{0,24}\b(?:get|pull|download|obtain|install)\b|\bversion\b", rest
            )
        ),
    ),
    (
        "quantization_choice",
        lambda q, _: bool(q.quantizations and q.roles) and q.machine is None,
    ),
    ("guides", lambda q, _: bool(q.quantizations) and q.machine is None),
    ("recommend", lambda q, rest: q.machine is not None or _asks_for_a_model(q, rest)),
    ("guides", lambda _, __: True),
)


def _judges_a_level(question: Question, rest: str) -> bool:
    return (
        len(question.quantizations) == 1
        and question.machine is None
        and question.num_ctx is None
        and cues.has(_LEVEL_QUALITY, rest)
    )


def _only_sizes(question: Question, _: str) -> bool:
    """Return True when no model is named, only sizes to weigh against each other."""
    assumed = [m.assumption or "" for m in question.models]
    return question.machine is None and all(a.startswith("No model is named") for a in assumed)


_SEVERAL_MODELS: Final[Sequence[Rule]] = (
    ("guides", lambda q, rest: _wants_explanation(q, rest) or _only_sizes(q, rest)),
    ("compare", lambda _, __: True),
)
_ONE_MODEL: Final[Sequence[Rule]] = (
    ("modelfile", lambda _, rest: cues.has(r"\bmodel ?files?\b", rest)),
    ("compare", _compares_levels),
    ("need", _asks_for_memory),
    ("quantization_choice", _judges_a_level),
    ("guides", _wants_explanation),
    (
        "guides",
        lambda q, rest: (
            _only_sizes(q, rest)
            and not (_sized(q) or q.quantizations or q.aspect)
            and not cues.has(r"\bvram\b|\bram\b|\bmemory\b|\bgpu\b|\bspeed\b|\bfast\b", rest)
        ),
    ),
    ("quantization_choice", _asks_which_level),
    ("other_quantization", _asks_for_a_tag),
    ("speed", lambda _, rest: cues.has(_SPEED, rest)),
    ("pull", lambda _, rest: cues.has(_PULL, rest)),
    (
        "kv_cache",
        lambda q, rest: cues.has(r"\bkv\b|\bk/v\b", rest) and not (q.machine and q.kv_cache_type),
    ),
    (
        "max_context",
        lambda q, _: q.machine is not None and q.aspect == "context" and q.num_ctx is None,
    ),
    ("facts", _checks_a_fact),
    ("facts", _asks_for_facts),
    (
        "fit",
        lambda q, rest: (
            bool(q.machine or q.num_ctx)
            or cues.has(_HERE, rest)
            or cues.has(r"\bfits?\b|\bruns?\b|\bhandle\b|\benough\b|\bpossible\b", rest)
            or (_asks_about_fitting(q, rest) and _here(q, rest))
        ),
    ),
    ("need", _asks_about_fitting),
    ("facts", lambda _, __: True),
)
