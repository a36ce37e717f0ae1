"""What holds for every conversation and every context."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from assistant.chat.attachment_text import split_text
from assistant.chat.budget import (
    ContextBudget,
    answer_reserve,
    counted_messages,
    fit_messages,
    guess_tokens,
    message_tokens,
    prompt_tokens,
    turns_of,
)
from assistant.chat.chat_problems import TooLongError
from assistant.chat.last_words import CUT_AT_ITS_BEGINNING, with_last_words
from assistant.chat.prompt_text import prompt_text, wire_messages
from assistant.chat.records import Attachment, Message
from assistant.chat.summarise import summary_request, summary_tokens

AT = "2026-11-27T10:00:00+00:00"
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["word " * 30, "word " * 900, "1234 {}\n" * 80, "1234 {}\n" * 300, "汉字" * 200]
    ),
)
systems = st.one_of(st.none(), st.just("You are brief."), texts)


@st.composite
def conversations(draw: st.DrawFn, *, summary: bool = True) -> list[Message]:
    """Turns with one answer, none, or two; the counts of some messages are known."""
    found: list[Message] = []
    if summary and draw(st.booleans()):
        found.append(Message("system", draw(texts), AT, id=999, kind="summary"))
    for _ in range(draw(st.integers(1, 6))):
        found.append(Message("user", draw(texts), AT))
        found += [Message("assistant", draw(texts), AT) for _ in range(draw(st.integers(0, 2)))]
    known = st.one_of(st.none(), st.integers(1, 2000))
    return [
        replace(m, id=number if m.id is None else m.id, tokens=draw(known))
        for number, m in enumerate(found, start=1)
    ]


@st.composite
def budgets(draw: st.DrawFn) -> ContextBudget:
    num_ctx = draw(st.sampled_from([256, 1024, 2048, 4096, 8192, 32768]))
    return ContextBudget(
        num_ctx,
        answer_reserve(num_ctx, thinks=draw(st.booleans())),
        guessed=draw(st.floats(0, 5000)),
        counted=draw(st.floats(0, 5000)),
        system_tokens=draw(st.one_of(st.none(), st.integers(1, 100))),
    )


@given(conversations(), systems, budgets())
def test_never_above_the_room_and_the_last_turn_is_always_in_it(
    messages: list[Message], system: str | None, budget: ContextBudget
) -> None:
    last = turns_of([m for m in messages if m.kind != "summary"])[-1]
    least = prompt_tokens(last, system=system, budget=budget)
    if least > budget.room:
        with pytest.raises(TooLongError) as caught:
            fit_messages(messages, system=system, budget=budget)
        assert (caught.value.tokens, caught.value.room) == (least, budget.room)
        return
    fitted = fit_messages(messages, system=system, budget=budget)
    assert fitted.tokens <= budget.room
    assert fitted.tokens == prompt_tokens(fitted.messages, system=system, budget=budget)
    assert fitted.messages[-len(last) :] == last


@given(conversations(), systems, budgets())
def test_whole_turns_in_their_order_and_nothing_is_lost(
    messages: list[Message], system: str | None, budget: ContextBudget
) -> None:
    try:
        fitted = fit_messages(messages, system=system, budget=budget)
    except TooLongError:
        assume(False)
        return
    ids = [m.id for m in messages]
    for part in (fitted.messages, fitted.dropped):
        places = [ids.index(m.id) for m in part]
        assert places == sorted(places)
    assert {m.id for m in fitted.messages} | {m.id for m in fitted.dropped} == set(ids)
    assert not {m.id for m in fitted.messages} & {m.id for m in fitted.dropped}
    kept = {m.id for m in fitted.messages}
    turns = turns_of([m for m in messages if m.kind != "summary"])
    whole = [{m.id for m in turn} for turn in turns]
    assert all(turn <= kept or not turn & kept for turn in whole)
    assert fitted.needs_summary == any(not turn & kept for turn in whole)
    # what is kept are the newest, without a gap
    flags = [turn <= kept for turn in whole]
    assert flags == sorted(flags)


@given(conversations(), systems, budgets(), st.integers(0, 20000))
def test_a_larger_context_never_keeps_less(
    messages: list[Message], system: str | None, budget: ContextBudget, more: int
) -> None:
    larger = replace(
        budget, num_ctx=budget.num_ctx + more, reserve=answer_reserve(budget.num_ctx + more)
    )
    smaller = replace(budget, reserve=answer_reserve(budget.num_ctx))
    try:
        before = fit_messages(messages, system=system, budget=smaller)
    except TooLongError:
        return
    after = fit_messages(messages, system=system, budget=larger)
    assert {m.id for m in before.messages} <= {m.id for m in after.messages}


@given(conversations(), systems, budgets(), st.integers(1, 60000))
def test_the_servers_count_is_shared_out_to_the_last_token(
    messages: list[Message], system: str | None, budget: ContextBudget, tokens: int
) -> None:
    counted, after = counted_messages(messages, system=system, budget=budget, tokens=tokens)
    assert [replace(m, tokens=None) for m in counted] == [replace(m, tokens=None) for m in messages]
    assert all(m.tokens is not None for m in counted)
    assert prompt_tokens(counted, system=system, budget=after) == tokens
    again, settled = counted_messages(counted, system=system, budget=after, tokens=tokens)
    assert again == counted
    assert settled.system_tokens == after.system_tokens


@given(st.lists(st.tuples(texts, st.integers(2, 40)), min_size=1, max_size=20))
def test_the_estimate_follows_the_servers_counts(spoken: list[tuple[str, int]]) -> None:
    budget = ContextBudget(8192, 1024)
    for text, tenths in spoken:
        guessed = guess_tokens(text)
        budget = budget.learned(guessed, round(guessed * tenths / 10))
    if budget.guessed >= 40 and budget.counted > 0:
        wanted = 1.1 * budget.counted / budget.guessed
        assert budget.scale == min(4.0, max(0.4, wanted))
    else:
        assert budget.scale == 1.0


@given(conversations(summary=False), texts, budgets())
def test_a_summary_is_asked_for_within_the_context(
    messages: list[Message], before: str, budget: ContextBudget
) -> None:
    asked = summary_request(messages, before=before or None, budget=budget)
    size = sum(budget.estimate(m["content"]) for m in asked) + summary_tokens(budget)
    assume(budget.num_ctx >= 1024 and budget.scale <= 2)
    assert size <= budget.num_ctx


@given(conversations(), systems, st.one_of(st.none(), st.just("Facts about yourself: none.")))
def test_the_wire_has_one_system_message_at_most_and_every_question(
    messages: list[Message], system: str | None, facts: str | None
) -> None:
    wire = wire_messages(messages, system=system, facts=facts, sees_images=False)
    roles = [m["role"] for m in wire]
    assert "system" not in roles[1:]
    questions = [m.content for m in messages if m.speaker == "user"]
    assert [m["content"] for m in wire if m["role"] == "user"] == questions
    first = wire[0]["content"] if roles[:1] == ["system"] else ""
    assert all(m.content in first for m in messages if m.kind == "summary")
    assert (facts or "") in first


@given(st.text(), st.text(min_size=1, max_size=20))
def test_a_file_is_whole_in_its_fence(text: str, name: str) -> None:
    message = Message("user", "What is this?", AT, attachments=(Attachment(name, "text", text),))
    shown = prompt_text(message)
    fence = shown[len(f"File {name}:\n") :].split("\n", 1)[0]
    assert set(fence) == {"`"}
    assert fence not in text
    assert text.rstrip() in shown
    assert shown.endswith("What is this?")


@given(st.one_of(st.text(max_size=400), texts), st.integers(1, 400))
def test_parts_of_a_text_fit_and_are_the_text(text: str, room: int) -> None:
    parts = split_text(text, room, guess_tokens)
    assert "".join(parts) == text
    assert all(parts)
    assert all(guess_tokens(part) <= room or len(part) == 1 for part in parts)


@given(texts, texts)
def test_the_guess_of_two_texts_is_the_sum(one: str, other: str) -> None:
    assert abs(guess_tokens(one + other) - guess_tokens(one) - guess_tokens(other)) < 1e-6


@given(conversations(), budgets())
def test_every_message_takes_at_least_a_token(
    messages: list[Message], budget: ContextBudget
) -> None:
    assert all(message_tokens(m, budget) >= 1 for m in messages)


@given(conversations(), budgets(), systems)
def test_last_words_are_the_end_of_the_answer_and_fit(
    messages: list[Message], budget: ContextBudget, system: str | None
) -> None:
    turns = turns_of([m for m in messages if m.kind != "summary"])
    assume(len(turns) > 1)
    heads = [m for m in messages if m.kind == "summary"]
    try:
        alone = fit_messages([*heads, *turns[-1]], system=system, budget=budget)
    except TooLongError:
        assume(False)
    found = with_last_words(alone, turns[-2], budget=budget)
    assert found.tokens <= budget.room
    added = [m for m in found.messages if m not in alone.messages]
    assert [m for m in found.messages if m in alone.messages] == list(alone.messages)
    if added:
        question, answer = added
        assert (question.speaker, answer.speaker) == ("user", "assistant")
        for message in added:
            end = message.content.removeprefix(CUT_AT_ITS_BEGINNING)
            assert any(prompt_text(m).endswith(end) for m in turns[-2])
    assert found.tokens == prompt_tokens(found.messages, system=system, budget=budget)
