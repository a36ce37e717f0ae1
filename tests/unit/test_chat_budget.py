"""The budget in figures: reserve, estimates, counts, what is kept, and what is told."""

from __future__ import annotations

import pytest

from assistant.chat.budget import (
    ContextBudget,
    answer_reserve,
    counted_messages,
    fit_messages,
    guess_tokens,
    message_tokens,
    smallest_prompt,
)
from assistant.chat.chat_problems import TooLongError, explained
from assistant.chat.inline_thinking import ThinkingSplitter
from assistant.chat.own_model import OwnModel
from assistant.chat.prompt_text import system_text, wire_messages
from assistant.chat.records import Attachment, Conversation, Message
from assistant.chat.stats import Tally
from assistant.chat.summarise import summary_request
from assistant.chat.window import Window
from assistant.ollama.chat_errors import ServerBusyError
from assistant.ollama.errors import ServerUnreachableError
from assistant.ollama.server_address import parse_address

AT = "2026-11-27T10:00:00+00:00"
MODEL = OwnModel("qwen3:8b", frozenset({"completion"}), 4096)


def turn(number: int, tokens: int, answer: int | None = None) -> list[Message]:
    question = Message("user", f"question {number}", AT, id=2 * number, tokens=tokens)
    if answer is None:
        return [question]
    return [
        question,
        Message("assistant", f"answer {number}", AT, id=2 * number + 1, tokens=answer, model="m"),
    ]


def ids(messages: tuple[Message, ...]) -> list[int | None]:
    return [m.id for m in messages]


@pytest.mark.parametrize(
    "num_ctx, num_predict, thinks, reserve",
    [
        (2048, None, False, 512),
        (4096, None, False, 1024),
        (8192, None, False, 2048),
        (131072, None, False, 2048),
        (131072, None, True, 8192),
        (8192, 700, False, 700),
        (8192, 6000, False, 4096),
        (8192, -1, False, 2048),
    ],
)
def test_reserve(num_ctx: int, num_predict: int | None, thinks: bool, reserve: int) -> None:
    assert answer_reserve(num_ctx, num_predict=num_predict, thinks=thinks) == reserve


def test_the_oldest_turns_go_first_and_only_as_many_as_must() -> None:
    messages = [m for n in range(1, 5) for m in turn(n, 100, 200)] + turn(5, 100)
    budget = ContextBudget(1000, 250, system_tokens=50)
    fitted = fit_messages(messages, system="s", budget=budget)
    assert ids(fitted.messages) == [6, 7, 8, 9, 10]
    assert ids(fitted.dropped) == [2, 3, 4, 5]
    assert fitted.tokens == 50 + 100 + 2 * 300
    assert fitted.needs_summary


def test_a_summary_comes_before_older_turns() -> None:
    summary = Message("system", "before: much", AT, id=1, kind="summary", tokens=400)
    messages = [summary, *turn(2, 100, 200), *turn(3, 100)]
    tight = fit_messages(messages, system=None, budget=ContextBudget(700, 100, system_tokens=10))
    assert ids(tight.messages) == [1, 6]
    assert ids(tight.dropped) == [4, 5]
    tighter = fit_messages(messages, system=None, budget=ContextBudget(500, 100, system_tokens=10))
    assert ids(tighter.messages) == [6]
    assert ids(tighter.dropped) == [1, 4, 5]
    whole = fit_messages(messages, system=None, budget=ContextBudget(2000, 100, system_tokens=10))
    assert whole.dropped == ()
    assert not whole.needs_summary


def test_what_cannot_fit_says_how_large_it_is() -> None:
    with pytest.raises(TooLongError) as caught:
        fit_messages(turn(1, 5200), system=None, budget=ContextBudget(4096, 1024, system_tokens=8))
    assert (caught.value.tokens, caught.value.room, caught.value.exact) == (5208, 3072, True)
    assert caught.value.message == (
        "the message takes 5,208 tokens with its system prompt, and the context has room for 3,072."
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "tokens, counted, fits",
    [(3500, True, True), (4000, True, True), (4090, True, False), (5300, False, True),
     (5600, False, False)],
)  # fmt: skip
def test_a_doubtful_last_turn_is_left_to_the_server(tokens: int, counted: bool, fits: bool) -> None:
    budget = ContextBudget(4096, 1024, system_tokens=8 if counted else None)
    messages = [*turn(1, 10, 10), *turn(2, tokens)]
    found = smallest_prompt(messages, system=None, budget=budget)
    assert (found is not None) == fits
    if found is not None:
        assert ids(found.messages) == [4]
        assert ids(found.dropped) == [2, 3]


def test_counts_are_shared_out_and_scale_the_estimate() -> None:
    text = "plain words about nothing at all " * 40
    question = Message("user", text, AT, id=1)
    budget = ContextBudget(8192, 1024)
    first = message_tokens(question, budget)
    (counted,), after = counted_messages([question], system=None, budget=budget, tokens=220)
    assert first > 300
    assert counted.tokens is not None
    assert after.system_tokens is not None
    assert counted.tokens + after.system_tokens == 220
    another = Message("user", text, AT, id=2)
    assert 220 <= message_tokens(another, after) <= 280


def test_a_count_that_contradicts_earlier_ones_replaces_them() -> None:
    messages = turn(1, 500, 500)
    counted, after = counted_messages(
        messages, system=None, budget=ContextBudget(8192, 1024, system_tokens=9), tokens=60
    )
    assert sum(m.tokens or 0 for m in counted) + (after.system_tokens or 0) == 60


def test_counts_of_another_model_are_not_believed() -> None:
    window = Window(ContextBudget(4096, 1024))
    mine = [
        Message("user", "one", AT, id=1, tokens=7),
        Message("assistant", "uno", AT, id=2, tokens=8, model="other:1b"),
        Message("user", "two", AT, id=3, tokens=9),
        Message("assistant", "due", AT, id=4, tokens=10, model="qwen3:8b"),
    ]
    window.show(Conversation(1, "one", AT, AT, messages=tuple(mine)), MODEL)
    assert [m.tokens for m in window.messages] == [None, None, 9, 10]


def test_the_window_holds_what_no_summary_stands_for() -> None:
    window = Window(ContextBudget(4096, 1024))
    spoken = [*turn(1, 1, 1), *turn(2, 1, 1), *turn(3, 1, 1)]
    summary = Message("system", "one and two", AT, id=99, kind="summary")
    messages = (*spoken[:4], summary, *spoken[4:])
    window.show(Conversation(1, "", AT, AT, summarised_to=5, messages=messages), MODEL)
    assert [m.id for m in window.messages] == [6, 7]
    assert window.summary is not None
    assert [m.id for m in window.all] == [99, 6, 7]


def test_usage_is_about_until_the_server_counted_everything() -> None:
    window = Window(ContextBudget(4096, 1024, is_exact=True))
    assert window.usage().tokens == 0
    window.messages = [Message("user", "hello", AT, id=1)]
    assert not window.usage().exact
    window.counted(window.fit(), 25)
    assert (window.usage().tokens, window.usage().exact) == (25, True)
    window.say_facts("You are a model.")
    assert not window.usage().exact


@pytest.mark.parametrize(
    "own, facts, summary, text",
    [
        (None, None, None, None),
        ("", None, None, ""),
        ("Be brief.", None, None, "Be brief."),
        (None, "You are x.", None, "You are x."),
        ("Be brief.", "You are x.", "They met.", "Be brief.\n\nYou are x.\n\nThe conversation so "
         "far, in short (earlier messages are left out):\nThey met."),
    ],
)  # fmt: skip
def test_system_text(
    own: str | None, facts: str | None, summary: str | None, text: str | None
) -> None:
    assert system_text(own, facts=facts, summary=summary) == text


def test_images_go_to_models_that_see_and_are_named_to_others() -> None:
    picture = Attachment("cat.png", "image", data=b"\x89PNG")
    message = Message("user", "What is it?", AT, attachments=(picture,))
    seen = wire_messages([message], system=None, facts=None, sees_images=True)
    assert seen == [{"role": "user", "content": "What is it?", "images": ["iVBORw=="]}]
    (blind,) = wire_messages([message], system=None, facts=None, sees_images=False)
    assert "images" not in blind
    assert "cat.png" in blind["content"]


def test_an_answer_of_which_nothing_came_is_not_sent() -> None:
    spoken = [Message("user", "a", AT), Message("assistant", "", AT), Message("user", "b", AT)]
    wire = wire_messages(spoken, system=None, facts=None, sees_images=False)
    assert [m["content"] for m in wire] == ["a", "b"]


def test_a_summary_request_shortens_the_longest_and_keeps_everybody() -> None:
    messages = [
        Message("user", "the key is 4711", AT),
        Message("assistant", "noise " * 20000, AT),
        Message("user", "and thanks", AT),
    ]
    budget = ContextBudget(2048, 512)
    system, asked = summary_request(messages, before="They met in May.", budget=budget)
    for text in ("They met in May.", "the key is 4711", "[...]", "and thanks"):
        assert text in asked["content"]
    assert "never an instruction" in system["content"]
    assert sum(guess_tokens(m["content"]) for m in (system, asked)) < 2048 - 256


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    "written, thinking, text",
    [
        ("<think>hm, so</think>\n\nFour.", "hm, so", "Four."),
        ("\n<thinking>a < b</thinking>Yes", "a < b", "Yes"),
        ("<think>\n</think>\nDone", "\n", "Done"),
        ("No <think>tags</think> at first", "", "No <think>tags</think> at first"),
        ("<b>bold</b>", "", "<b>bold</b>"),
        ("<think>never closed", "never closed", ""),
        ("", "", ""),
        ("  ", "", "  "),
    ],
)
def test_thinking_in_tags_is_told_apart(size: int, written: str, thinking: str, text: str) -> None:
    said: list[str] = []
    thought: list[str] = []
    splitter = ThinkingSplitter(said.append, thought.append)
    for start in range(0, len(written), size):
        splitter.add(written[start : start + size])
    splitter.end()
    assert ("".join(thought), "".join(said)) == (thinking, text)


def test_stats_are_means_over_what_is_known() -> None:
    tally = Tally()
    assert tally.stats().mean_decode_tokens_per_s is None
    tally.add(prompt_tokens=10, generated_tokens=30, decode_s=1.0, first_token_s=0.5)
    tally.add(prompt_tokens=50, generated_tokens=10, decode_s=1.0, first_token_s=1.5)
    tally.add()
    stats = tally.stats()
    assert (stats.turns, stats.prompt_tokens, stats.generated_tokens) == (3, 60, 40)
    assert stats.mean_decode_tokens_per_s == 20.0
    assert stats.mean_first_token_s == 1.0


def test_hints_say_what_is_kept_and_what_to_do() -> None:
    here, there = parse_address("127.0.0.1:11434"), parse_address("10.0.0.9:11434")
    gone = explained(ServerUnreachableError(here, "refused"), kept=True)
    assert gone.hint == "What came is kept; /retry asks again. Start the server with: ollama serve"
    far = explained(ServerUnreachableError(there, "refused"), kept=False, is_local=False)
    assert far.hint is not None
    assert "OLLAMA_HOST" in far.hint
    assert "ollama serve" not in far.hint
    busy = explained(ServerBusyError("busy."), kept=False)
    assert (
        busy.hint
        == "Your question is kept; /retry asks it again. Other requests are waiting there."
    )
