"""The end of an answer that is too long to be sent whole, for the question after it. Pure.

A summary says what an answer was about, not where it stopped: told to go on, a model needs its
own last words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from assistant.chat.budget import ContextBudget, FittedPrompt, has_images, message_tokens
from assistant.chat.prompt_text import prompt_text
from assistant.chat.records import Message

CUT_AT_ITS_BEGINNING: Final = "[The beginning is left out here.] [...] "
_FEWEST_CHARACTERS: Final = 40
_QUESTION_SHARE: Final = 4


def with_last_words(
    fitted: FittedPrompt, turn: Sequence[Message], *, budget: ContextBudget
) -> FittedPrompt:
    """Return the prompt with as much of the end of `turn` before its question as fits.

    The question of the turn takes a quarter of that room at most, its answer the rest; what is
    cut is marked. Where there is no room for a few words the prompt stays as it is.
    """
    room = budget.room - fitted.tokens
    asked = [m for m in turn if m.speaker == "user"]
    answers = [m for m in turn if m.speaker == "assistant" and m.content]
    if not asked or not answers:
        return fitted
    question = _end_of(asked[0], room // _QUESTION_SHARE, budget)
    if question is None:
        return fitted
    answer = _end_of(answers[-1], room - message_tokens(question, budget), budget)
    if answer is None:
        return fitted
    tokens = fitted.tokens + message_tokens(question, budget) + message_tokens(answer, budget)
    head = [m for m in fitted.messages if m.kind == "summary"]
    spoken = [m for m in fitted.messages if m.kind != "summary"]
    return replace(fitted, messages=(*head, question, answer, *spoken), tokens=tokens)


def shows_an_end(fitted: FittedPrompt) -> bool:
    """Return True when a prompt has an answer without its beginning."""
    return any(
        m.speaker == "assistant" and m.content.startswith(CUT_AT_ITS_BEGINNING)
        for m in fitted.messages
    )


def _end_of(message: Message, tokens: int, budget: ContextBudget) -> Message | None:
    """Return the end of a message in at most so many tokens, whole where it fits, or None.

    It has no number of its own: what the server counts of it is not a count of the whole.
    """
    tokens_known = None if has_images([message]) else message.tokens
    whole = replace(
        message, id=None, content=prompt_text(message), attachments=(), tokens=tokens_known
    )
    if message_tokens(whole, budget) <= tokens:
        return whole
    low, high = 0, len(whole.content)
    while low < high:
        middle = (low + high + 1) // 2
        if message_tokens(_cut(whole, middle), budget) <= tokens:
            low = middle
        else:
            high = middle - 1
    return _cut(whole, low) if low >= min(_FEWEST_CHARACTERS, len(whole.content)) else None


def _cut(message: Message, characters: int) -> Message:
    end = message.content[len(message.content) - characters :]
    return replace(message, content=CUT_AT_ITS_BEGINNING + end, tokens=None)
