"""The lines that a chat says about itself: at its start, at the bottom, and for commands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from assistant.cli.layout import paragraph, table

if TYPE_CHECKING:
    from assistant.chat.budget import ContextUsage
    from assistant.chat.own_model import OwnModel
    from assistant.chat.records import Conversation, ConversationInfo, SearchHit
    from assistant.chat.stats import ChatStats
    from assistant.errors import AssistantError
    from assistant.ollama.server_address import ServerAddress

_GAP: Final = "  "
_WIDE: Final = 60


def render_opening(
    model: OwnModel,
    address: ServerAddress,
    *,
    base: str | None = None,
    saved: bool,
    width: int = 80,
) -> str:
    """Return what stands at the top: model, context, where it runs, what is kept.

    `base` is the model that an alias of setup stands for.
    """
    context = f"{model.num_ctx:,} tokens of context"
    if not model.num_ctx_is_exact:
        context = f"about {context}"
    kept = [] if saved else ["not\u00a0saved"]
    name = shown_model(model.name) + (f"\u00a0({base})" if base else "")
    told = " · ".join((name, context, where(model, address), *kept))
    return paragraph(told, width=width, hanging=_GAP)


def shown_model(name: str) -> str:
    """Return a model's name without the tag that stands for none."""
    return name.removesuffix(":latest")


def where(model: OwnModel, address: ServerAddress) -> str:
    """Return where the conversation goes; that nothing leaves this machine only when it is so."""
    if model.remote:
        return "runs in a cloud: what you write leaves this machine"
    if not address.is_local:
        return f"what you write goes to {address.url}"
    return "nothing leaves this machine"


def render_status(
    model: str, usage: ContextUsage, *, tokens_per_s: float | None, attached: int = 0, width: int
) -> str:
    """Return the status line: as much of model, context use and speed as `width` has room for."""
    model = shown_model(model)
    exact = usage.exact or not usage.tokens
    about = "" if exact else "about "
    files = [] if not attached else [f"{attached} file{'s' * (attached > 1)} attached"]
    speed = [] if tokens_per_s is None else [f"{tokens_per_s:.0f} tokens/s"]
    short_speed = [] if tokens_per_s is None else [f"{tokens_per_s:.0f} t/s"]
    long = f"{about}{usage.tokens:,} of {usage.num_ctx:,} tokens"
    sign = "" if exact else "~"
    short = f"{sign}{short_count(usage.tokens)}/{short_count(usage.num_ctx)}"
    for parts in (
        [model, long, *speed, *files],
        [model, short, *short_speed, *files],
        [model, short, *short_speed],
        [short, *short_speed],
    ):
        line = (_GAP + _GAP).join(parts)
        if len(line) <= width:
            return line
    return short


def render_unsent(error: AssistantError) -> str:
    """Return why a message was not sent, in a line where there is a short way to say it."""
    from assistant.chat.chat_problems import TooLongError

    if isinstance(error, TooLongError):
        about = "" if error.exact else "about "
        return f"Not sent: {about}{error.tokens:,} tokens, and there is room for {error.room:,}."
    return f"Not sent: {error.message}"


def render_less_context(num_ctx: int, *, announced: int) -> str:
    """Return that a model has much less context than was said when it was chosen."""
    return (
        f"The server gives this model {num_ctx:,} tokens of context, not the {announced:,} that "
        "were announced."
    )


def short_count(tokens: int) -> str:
    """Return a count in three or four characters: `812`, `1.2k`, `16k`."""
    if tokens < 1000:
        return str(tokens)
    thousands = tokens / 1024 if tokens % 1024 == 0 else tokens / 1000
    return f"{thousands:.1f}k" if thousands < 9.95 and tokens % 1024 else f"{thousands:.0f}k"


def render_usage(usage: ContextUsage, policy: str, *, width: int = 80) -> str:
    """Return how full the context is, and what happens when it is full."""
    share = 100 * usage.tokens / usage.num_ctx if usage.num_ctx else 0
    what = "summarised by the model" if policy == "summarise" else "left out"
    return paragraph(
        f"{'' if usage.exact else 'About '}{usage.tokens:,} of {usage.num_ctx:,} tokens are used "
        f"({share:.0f} %). When a message no longer fits, older turns are {what}, and a line says "
        "so.",
        width=width,
    )


def render_stats(stats: ChatStats, *, width: int = 80) -> str:
    """Return the figures of this sitting; what is not known is left out."""
    rows = [
        ("answers", f"{stats.turns:,}"),
        ("tokens read", f"{stats.prompt_tokens:,}"),
        ("tokens written", f"{stats.generated_tokens:,}"),
    ]
    if stats.mean_decode_tokens_per_s is not None:
        rows.append(("speed", f"{stats.mean_decode_tokens_per_s:.1f} tokens/s on average"))
    if stats.mean_first_token_s is not None:
        rows.append(("first word", f"after {stats.mean_first_token_s:.1f} s on average"))
    minutes, seconds = divmod(round(stats.session_s), 60)
    rows.append(("time", f"{minutes} min {seconds} s" if minutes else f"{seconds} s"))
    return table((), rows, width=width, indent="")


def render_sessions(
    infos: Sequence[ConversationInfo], *, current: int | None, now: datetime, width: int = 80
) -> str:
    """Return the conversations, the one last used first; `*` marks the one that is open."""
    if not infos:
        return "No conversations are kept yet."
    wide = width >= _WIDE
    headers = ("", "used", "messages", "conversation") if wide else ("", "used", "conversation")
    rows = []
    for info in infos:
        mark = f"{'*' if info.id == current else ' '}#{info.id}"
        count = [str(info.message_count)] if wide else []
        rows.append([mark, when(info.updated_at, now), *count, _named(info)])
    shown = table(headers, rows, align="llrl" if wide else "lll", width=width, indent="")
    return f"{shown}\n\nGo to one: /sessions NAME or #NUMBER"


def _named(info: ConversationInfo) -> str:
    if info.name and info.title:
        return f"{info.name}: {info.title}"
    return info.name or info.title or "nothing said yet"


def render_hits(hits: Sequence[SearchHit], words: str, *, width: int = 80) -> str:
    """Return what a search found; `[` and `]` are around the words that match."""
    if not hits:
        return f"No message has {words!r} in it."
    lines = []
    for hit in hits:
        who = {"user": "you", "assistant": "the model"}.get(hit.speaker, "system")
        lines.append(paragraph(f"#{hit.conversation_id} {hit.title}", width=width))
        excerpt = " ".join(hit.excerpt.split())
        lines.append(paragraph(f"{who}: {excerpt}", width=width, indent=_GAP, hanging=_GAP + _GAP))
    return "\n".join([*lines, "", "Go to one: /sessions #NUMBER"])


def render_resumed(conversation: Conversation, *, width: int = 80) -> str:
    """Return which conversation is gone on with."""
    count = sum(message.kind != "summary" for message in conversation.messages)
    told = f"Going on with {conversation.shown_name!r}, {count} message{'s' * (count != 1)}."
    return paragraph(told, width=width)


def when(at: str, now: datetime) -> str:
    """Return how long ago a time was, in its two largest words; the date after a week."""
    try:
        then = datetime.fromisoformat(at)
    except ValueError:
        return at[:10]
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = (now - then).total_seconds()
    for limit, size, word in ((3600, 60, "min"), (86400, 3600, "h"), (7 * 86400, 86400, "days")):
        if seconds < limit:
            count = max(0, int(seconds // size))
            if word == "min" and count == 0:
                return "just now"
            return f"{count} {'day' if (word, count) == ('days', 1) else word} ago"
    return then.astimezone(now.tzinfo).date().isoformat()
