"""Laws of the store: it remembers as a list in memory does, and any text can be kept and found."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)

from assistant.chat.export import export_name, from_json, to_json, to_markdown
from assistant.chat.records import Attachment, Conversation, Message
from assistant.chat.store import memory_store
from assistant.chat.store_rows import TITLE_LENGTH, title_from
from assistant.chat.store_words import (
    SYMBOLS,
    excerpt,
    in_line,
    parse_search,
    split_words,
    words_line,
)
from tests.support.chat_stores import NOW, said, store_without_fts5

SOME = settings(max_examples=60, deadline=None)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab cd+# -\"'*()^:éß你好がが🎉\x00\n", max_size=40),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=20),
)
WHOLE = st.text(max_size=40)
"""Text without halves of surrogate pairs."""
TIMES = st.sampled_from([NOW, "2026-08-01T12:00:00.123456+02:00", "2026-08-01T09:00:00Z"])
COUNTS = st.none() | st.integers(0, 2**40)
ATTACHMENTS = st.builds(
    Attachment,
    name=WHOLE,
    kind=st.sampled_from(["text", "image"]),
    text=st.none() | WHOLE,
    data=st.none() | st.binary(max_size=20),
    tokens=COUNTS,
)
MESSAGES = st.builds(
    Message,
    speaker=st.sampled_from(["system", "user", "assistant"]),
    content=WHOLE,
    at=TIMES,
    kind=st.sampled_from(["message", "grounded"]),
    thinking=WHOLE,
    attachments=st.lists(ATTACHMENTS, max_size=2).map(tuple),
    model=st.none() | WHOLE,
    tokens=COUNTS,
    generated_tokens=COUNTS,
    decode_tokens_per_s=st.none() | st.floats(0, 1e6),
    interrupted=st.booleans(),
)


@SOME
@given(st.lists(MESSAGES, max_size=4), st.none() | WHOLE, st.data())
def test_what_is_stored_exported_and_brought_back_is_the_same(
    messages: list[Message], system: str | None, data: st.DataObject
) -> None:
    with memory_store() as store, memory_store() as other:
        other.create(now=NOW)
        talk = store.create(name="a talk", system=system, now=NOW)
        kept = tuple(store.append(talk.id, message) for message in messages)
        assert tuple(replace(message, id=None) for message in kept) == tuple(messages)
        if kept:
            up_to = data.draw(st.sampled_from([message.id for message in kept]))
            store.set_summary(talk.id, "in short", up_to=up_to or 0, now=NOW)
        loaded = store.load(talk.id)
        assert tuple(m for m in loaded.messages if m.kind != "summary") == kept
        assert loaded.system == system
        assert from_json(to_json(loaded)) == loaded
        assert to_markdown(loaded).startswith("# a talk\n")
        there = other.add(loaded)
        assert there == other.load(there.id)
        assert unnumbered(there) == unnumbered(loaded)


def unnumbered(talk: Conversation) -> Conversation:
    """The conversation with its messages numbered from 0."""
    places = {message.id: place for place, message in enumerate(talk.messages)}
    return replace(
        talk,
        id=0,
        summarised_to=places.get(talk.summarised_to),
        messages=tuple(replace(m, id=places[m.id]) for m in talk.messages),
    )


@SOME
@given(TEXTS)
def test_any_text_is_kept(text: str) -> None:
    with memory_store() as store:
        talk = store.create(system=text, now=NOW)
        kept = store.append(talk.id, said(text))
        loaded = store.load(talk.id)
        assert loaded.messages == (kept,)
        whole = re.sub("[\ud800-\udbff](?![\udc00-\udfff])", "\ufffd", text)
        whole = re.sub("(?<![\ud800-\udbff])[\udc00-\udfff]", "\ufffd", whole)
        assert kept.content.encode("utf-16-le") == whole.encode("utf-16-le", "surrogatepass")


@SOME
@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_every_text_can_be_searched_for_and_both_ways_find_the_same(
    contents: list[str], text: str
) -> None:
    with memory_store() as store, store_without_fts5() as plain:
        for each in (store, plain):
            talk = each.create(now=NOW)
            for content in contents:
                each.append(talk.id, said(content))
        hits = store.search(text)
        assert hits == plain.search(text)
        phrases = parse_search(text)
        expected = [
            number
            for number, content in enumerate(contents, start=1)
            if phrases and all(in_line(p) in words_line(content) for p in phrases)
        ]
        assert [hit.message_id for hit in hits] == expected[::-1]


@SOME
@given(TEXTS, TEXTS, TEXTS)
def test_a_message_is_found_by_every_word_of_it(before: str, word: str, after: str) -> None:
    assume(split_words(word))
    with memory_store() as store:
        talk = store.create(now=NOW)
        store.append(talk.id, said(f"{before} {word} {after}"))
        (hit,) = store.search(word.replace('"', " ").replace("“", " ").replace("”", " "))
        assert "[" in hit.excerpt
        assert "\n" not in hit.excerpt


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_words_are_what_the_tokenizer_of_the_index_takes_as_words(text: str) -> None:
    words = split_words(text)
    for word in words:
        assert re.fullmatch(rf"[a-z0-9\x80-\U0010ffff]+|[{re.escape(SYMBOLS)}]", word.text)
        assert 0 <= word.start < word.end <= len(text)
    assert [w.start for w in words] == sorted(w.start for w in words)
    again = split_words(words_line(text))
    assert [word.text for word in again] == [word.text for word in words]
    if text.isascii():
        assert [word.text for word in split_words(text.upper())] == [word.text for word in words]


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 100))
def test_an_excerpt_is_one_line_of_the_text(text: str, searched: str, length: int) -> None:
    shown = excerpt(text, parse_search(searched), length=length)
    assert shown.split() == shown.split(" ") or not shown.strip()
    letters = re.sub(r"[\s…\[\]]", "", shown)
    assert letters in re.sub(r"[\s…\[\]]", "", text)


@given(TEXTS)
def test_a_title_is_one_short_line(text: str) -> None:
    title = title_from(text)
    assert len(title) <= TITLE_LENGTH
    assert title == " ".join(title.split())
    assert bool(title) == bool(text.split())


@given(TEXTS)
def test_a_file_name_is_one_that_every_system_takes(title: str) -> None:
    name = export_name(Conversation(3, title, NOW, NOW), "json")
    assert re.fullmatch(r"[^\W_]([\w-]*[^\W_])?\.json", name)
    assert len(name.encode()) < 200


class StoreMachine(RuleBasedStateMachine):
    """Two stores, with FTS5 and without, beside lists in memory that say what must be in them."""

    talks = Bundle("talks")

    def __init__(self) -> None:
        super().__init__()
        self.stores = (memory_store(), store_without_fts5())
        self.model: dict[int, list[Message]] = {}
        self.summaries: dict[int, list[tuple[int, str]]] = {}

    def both(self, method: str, *given: Any, **named: Any) -> Any:
        one, other = (getattr(store, method)(*given, **named) for store in self.stores)
        assert one == other
        return one

    @rule(target=talks)
    def create(self) -> int:
        talk: Conversation = self.both("create", now=NOW)
        assert talk.id not in self.model
        self.model[talk.id], self.summaries[talk.id] = [], []
        return talk.id

    @rule(talk=talks, message=MESSAGES)
    def append(self, talk: int, message: Message) -> None:
        self.model[talk].append(self.both("append", talk, message))

    @rule(talk=talks, message=MESSAGES, data=st.data())
    def update(self, talk: int, message: Message, data: st.DataObject) -> None:
        if not self.model[talk]:
            return
        place = data.draw(st.integers(0, len(self.model[talk]) - 1))
        changed = replace(message, id=self.model[talk][place].id)
        self.both("update", talk, changed)
        self.model[talk][place] = changed

    @rule(talk=talks, data=st.data())
    def remove(self, talk: int, data: st.DataObject) -> None:
        if not self.model[talk]:
            return
        place = data.draw(st.integers(0, len(self.model[talk]) - 1))
        first = self.model[talk][place].id or 0
        assert self.both("remove_from", talk, first) == tuple(self.model[talk][place:])
        del self.model[talk][place:]
        self.summaries[talk] = [s for s in self.summaries[talk] if s[0] < first]

    @rule(talk=talks, text=WHOLE, data=st.data())
    def summarise(self, talk: int, text: str, data: st.DataObject) -> None:
        if not self.model[talk]:
            return
        up_to = data.draw(st.sampled_from([m.id or 0 for m in self.model[talk]]))
        self.both("set_summary", talk, text, up_to=up_to, now=NOW)
        earlier = [s for s in self.summaries[talk] if s[0] < up_to]
        self.summaries[talk] = [*earlier, (up_to, text)]

    @rule(talk=consumes(talks))
    def forget(self, talk: int) -> None:
        assert self.both("forget", talk) is True
        assert self.both("forget", talk) is False
        del self.model[talk]

    @rule(text=TEXTS)
    def search(self, text: str) -> None:
        phrases = parse_search(text)
        expected = []
        for talk, messages in self.model.items():
            for message in messages:
                searched = "\n".join((message.content, *(a.name for a in message.attachments)))
                line = words_line(searched)
                if phrases and all(in_line(phrase) in line for phrase in phrases):
                    expected.append((message.id, talk))
        hits = self.both("search", text, limit=1000)
        found = [(hit.message_id, hit.conversation_id) for hit in hits]
        assert found == sorted(expected, reverse=True)

    @invariant()
    def everything_is_there(self) -> None:
        for talk, messages in self.model.items():
            loaded: Conversation = self.both("load", talk)
            assert [m for m in loaded.messages if m.kind != "summary"] == messages
            found = [m.content for m in loaded.messages if m.kind == "summary"]
            assert found == [text for _, text in self.summaries[talk][-1:]]
            if self.summaries[talk]:
                assert loaded.summarised_to == self.summaries[talk][-1][0]
                place = [m.kind for m in loaded.messages].index("summary")
                assert loaded.messages[place - 1].id == loaded.summarised_to

    @invariant()
    def the_index_is_sound(self) -> None:
        with self.stores[0]._database.writing() as connection:
            (stale,) = connection.execute(
                "SELECT value FROM state WHERE key = 'index_stale'"
            ).fetchone()
            if not stale:
                connection.execute(
                    "INSERT INTO message_search (message_search, rank)"
                    " VALUES ('integrity-check', 1)"
                )

    def teardown(self) -> None:
        for store in self.stores:
            store.close()


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStoreMachine = StoreMachine.TestCase
