"""How many tokens a conversation takes, and what of it fits into the context. Pure.

The server counts: after each answer it says how many tokens the whole prompt had. From that
every message gets its share (`counted`), and the estimate for what was not sent yet is scaled.
Before the first count the estimate is on the high side: a prompt that is thought too long is
answered with fewer old turns, one that is thought too short is refused by the server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from assistant.chat.chat_problems import TooLongError
from assistant.chat.prompt_text import prompt_text
from assistant.chat.records import Message

LETTERS_PER_TOKEN: Final = 3.6
TOKENS_PER_MARK: Final = 0.8
BYTES_PER_OTHER_TOKEN: Final = 2.0
"""How a text is guessed: ASCII letters and spaces by the few, marks nearly one each, what is
beyond ASCII by its UTF-8 bytes. Against the tokenizer of SmolLM2 (49k words, mostly English) the
guess is 1.3 times the count for prose, 1.2 for code and Russian, 1.1 for TOML, 1.0 for digits and
Chinese, 0.9 for German; larger vocabularies need fewer tokens for all of these."""
MESSAGE_TOKENS: Final = 8
"""What a template puts around a message (ChatML 5, Llama 3 5, Gemma 4), and a little."""
IMAGE_TOKENS: Final = 1024
"""A guess until the server has counted: models make 256 to several thousand of a picture."""
UNSEEN_IMAGE_TOKENS: Final = 24
"""The words that stand for a picture to a model that cannot see it."""
UNSENT_MARGIN: Final = 1.1
"""New text may be unlike the text that was counted."""
LEAST_ANSWER_TOKENS: Final = 64
"""Room that is left for an answer at the very least."""
FEWEST_SCALE: Final = 0.4
MOST_SCALE: Final = 4.0
_CALIBRATES_FROM: Final = 40.0
"""With fewer tokens the template around the messages is most of what is counted."""
_RESERVE_SHARE: Final = 4
_MOST_RESERVE: Final = 2048
_MOST_RESERVE_THINKING: Final = 8192
_SLACK: Final = 0.6
_TIGHTEST: Final = 0.75
"""A share of the estimate that a text surely takes."""

_LETTERS: Final = bytes(range(65, 91)) + bytes(range(97, 123)) + b" "
_DIGITS: Final = b"0123456789"
_BEYOND_ASCII: Final = bytes(range(128, 256))


@dataclass(frozen=True, slots=True)
class ContextBudget:
    """The room of one context. `num_ctx` is the whole, `reserve` is kept for the answer.

    `is_exact` says that the server named `num_ctx`. `guessed` and `counted` are sums over all
    text that the server has counted: its tokens as guessed, and as they were. `system_tokens`
    is what the system prompt and the template's own words take, None before they are counted.
    `image_tokens` is what is guessed for a picture.
    """

    num_ctx: int
    reserve: int
    is_exact: bool = False
    guessed: float = 0.0
    counted: float = 0.0
    system_tokens: int | None = None
    image_tokens: int = IMAGE_TOKENS

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return max(0, self.num_ctx - self.reserve)

    @property
    def scale(self) -> float:
        """What the guess of a text is multiplied by; 1 before enough was counted."""
        if self.guessed < _CALIBRATES_FROM or self.counted <= 0:
            return 1.0
        return min(MOST_SCALE, max(FEWEST_SCALE, UNSENT_MARGIN * self.counted / self.guessed))

    def estimate(self, text: str) -> int:
        """Return about how many tokens a text has."""
        return math.ceil(self.scale * guess_tokens(text))

    def learned(self, guessed: float, counted: int) -> ContextBudget:
        """Return the budget that knows of `counted` tokens in what was guessed as `guessed`."""
        if guessed <= 0 or counted <= 0:
            return self
        return replace(self, guessed=self.guessed + guessed, counted=self.counted + counted)

    def with_slack(self) -> ContextBudget:
        """Return the budget to cut down to, so that not every turn must be cut again."""
        return replace(self, reserve=self.num_ctx - int(_SLACK * self.room))


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """What goes into one request: a summary first where there is one, then whole turns.

    `dropped` did not fit; `needs_summary` says that there are turns among them. `tokens` is the
    size of the prompt with its system prompt, as far as it is known.
    """

    messages: tuple[Message, ...]
    dropped: tuple[Message, ...]
    needs_summary: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """Tokens in use of `num_ctx`; `exact` when both are the server's own figures."""

    tokens: int
    num_ctx: int
    exact: bool


def answer_reserve(num_ctx: int, *, num_predict: int | None = None, thinks: bool = False) -> int:
    """Return the tokens to keep for the answer.

    `num_predict` where the model has one, up to half of the context; otherwise a quarter, up to
    2,048 (8,192 for a model that thinks first).
    """
    if num_predict is not None and num_predict > 0:
        return min(num_predict, num_ctx // 2)
    most = _MOST_RESERVE_THINKING if thinks else _MOST_RESERVE
    return min(num_ctx // _RESERVE_SHARE, most)


def guess_tokens(text: str) -> float:
    """Return about how many tokens a text has for any model, rather too many than too few.

    Letters and spaces by the few, digits one each, marks nearly so, anything else by its bytes.
    """
    data = text.encode("utf-8", "replace")
    rest = data.translate(None, _LETTERS)
    without_digits = rest.translate(None, _DIGITS)
    marks = without_digits.translate(None, _BEYOND_ASCII)
    return (
        (len(data) - len(rest)) / LETTERS_PER_TOKEN
        + (len(rest) - len(without_digits))
        + len(marks) * TOKENS_PER_MARK
        + (len(without_digits) - len(marks)) / BYTES_PER_OTHER_TOKEN
    )


def message_tokens(message: Message, budget: ContextBudget) -> int:
    """Return what a message takes in a prompt: as it was counted, or about that."""
    if message.tokens is not None:
        return message.tokens
    images = sum(budget.image_tokens for file in message.attachments if file.kind == "image")
    return budget.estimate(prompt_text(message)) + MESSAGE_TOKENS + images


def prompt_tokens(messages: Sequence[Message], *, system: str | None, budget: ContextBudget) -> int:
    """Return what a whole prompt takes, its system prompt included."""
    return _system_tokens(system, budget) + sum(message_tokens(m, budget) for m in messages)


def fit_messages(
    messages: Sequence[Message], *, system: str | None, budget: ContextBudget
) -> FittedPrompt:
    """Return what of a conversation fits, by the estimate, into the budget's room.

    The system prompt and the last turn are always in it, then come the summary, and whole turns
    from the newest backwards until one does not fit. A larger context never keeps less.

    Raises:
        TooLongError: the system prompt and the last turn alone do not fit.
    """
    head = tuple([m for m in messages if m.kind == "summary"][-1:])
    turns = turns_of([m for m in messages if m.kind != "summary"])
    last = turns.pop() if turns else ()
    used = prompt_tokens(last, system=system, budget=budget)
    if used > budget.room:
        raise TooLongError(tokens=used, room=budget.room, exact=_is_counted(last, budget))
    for_head = sum(message_tokens(m, budget) for m in head)
    if used + for_head > budget.room:
        dropped = (*head, *(m for turn in turns for m in turn))
        return FittedPrompt(last, dropped, needs_summary=bool(turns), tokens=used)
    used += for_head
    kept = len(turns)
    while kept and used + (cost := _turn_tokens(turns[kept - 1], budget)) <= budget.room:
        used += cost
        kept -= 1
    older, newer = turns[:kept], turns[kept:]
    return FittedPrompt(
        messages=(*head, *(m for turn in newer for m in turn), *last),
        dropped=tuple(m for turn in older for m in turn),
        needs_summary=bool(older),
        tokens=used,
    )


def smallest_prompt(
    messages: Sequence[Message], *, system: str | None, budget: ContextBudget
) -> FittedPrompt | None:
    """Return the last turn alone when it may fit although it leaves less room than it should.

    Of a turn that was not counted only the server knows whether it fits: it refuses what is too
    long, and says how long it is. None when it surely does not fit.
    """
    turns = turns_of([m for m in messages if m.kind != "summary"])
    last = turns.pop() if turns else ()
    tokens = prompt_tokens(last, system=system, budget=budget)
    if _is_counted(last, budget):
        may_fit = tokens + LEAST_ANSWER_TOKENS <= budget.num_ctx
    else:
        may_fit = tokens * _TIGHTEST <= budget.num_ctx
    older = tuple(m for turn in turns for m in turn)
    return FittedPrompt(last, older, needs_summary=bool(older), tokens=tokens) if may_fit else None


def counted_messages(
    messages: Sequence[Message], *, system: str | None, budget: ContextBudget, tokens: int
) -> tuple[tuple[Message, ...], ContextBudget]:
    """Return the messages of a prompt with their share of the `tokens` that the server counted.

    What was counted before keeps its figure; the rest is shared out among what is new, in
    proportion to the estimate, so that all together are what the server said. When that is
    impossible (another template, another model) everything is shared out anew.
    """
    known = (budget.system_tokens or 0) + sum(m.tokens or 0 for m in messages)
    unknown = [m for m in messages if m.tokens is None]
    pieces = len(unknown) + (budget.system_tokens is None)
    consistent = tokens - known >= pieces if pieces else tokens == known
    if not consistent:
        messages = [replace(m, tokens=None) for m in messages]
        budget = replace(budget, system_tokens=None)
        known, unknown = 0, list(messages)
    left = tokens - known
    wanted = [message_tokens(m, budget) for m in unknown]
    learned = sum(guess_tokens(prompt_text(m)) for m in unknown)
    if budget.system_tokens is None:
        wanted.append(_system_tokens(system, budget))
        learned += guess_tokens(system or "")
    shares = _shared_out(left, wanted)
    guesses_images = has_images(unknown)
    if budget.system_tokens is None:
        budget = replace(budget, system_tokens=shares.pop())
    if not guesses_images:
        budget = budget.learned(learned, left)
    numbers = iter(shares)
    return tuple(
        replace(m, tokens=next(numbers)) if m.tokens is None else m for m in messages
    ), budget


def has_images(messages: Sequence[Message]) -> bool:
    """Return True when a picture goes with one of the messages."""
    return any(file.kind == "image" for m in messages for file in m.attachments)


def turns_of(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Return messages in turns: a question with all that answers it, up to the next question."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.speaker == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return [tuple(turn) for turn in turns]


def _is_counted(messages: Sequence[Message], budget: ContextBudget) -> bool:
    return budget.system_tokens is not None and all(m.tokens is not None for m in messages)


def _turn_tokens(turn: Sequence[Message], budget: ContextBudget) -> int:
    return sum(message_tokens(m, budget) for m in turn)


def _system_tokens(system: str | None, budget: ContextBudget) -> int:
    if budget.system_tokens is not None:
        return budget.system_tokens
    return budget.estimate(system or "") + 2 * MESSAGE_TOKENS


def _shared_out(total: int, wanted: Sequence[int]) -> list[int]:
    """Return whole numbers in proportion to `wanted` that add up to `total`."""
    whole = sum(wanted)
    if not whole:
        return [0] * len(wanted)
    ends, so_far = [0], 0
    for part in wanted:
        so_far += part
        ends.append(total * so_far // whole)
    return [end - start for start, end in pairwise(ends)]
