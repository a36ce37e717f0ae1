"""Exported conversations: Markdown to read, JSON to bring back, and names for the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assistant.chat.export import export_name, from_json, to_json, to_markdown
from assistant.chat.records import Attachment, Conversation, Message
from assistant.chat.store_errors import NotAConversationError
from tests.support.chat_stores import LATER, NOW, answered, said

PICTURE = Attachment("cat.png", "image", data=b"\x89PNG\x00\xff", tokens=256)
NOTES = Attachment("notes.md", "text", text="the ferry\nleaves at nine")
TALK = Conversation(
    id=7,
    title="When does it leave?",
    created_at=NOW,
    updated_at=LATER,
    name="Trip",
    model="m:1b",
    role="chat",
    system="Be short.\nBe kind.",
    summarised_to=2,
    messages=(
        said("When does it leave?", id=1, attachments=(NOTES, PICTURE)),
        answered("At **nine**.", id=2, model="m:1b", thinking="hm", decode_tokens_per_s=31.5),
        Message("system", "It leaves at nine.", LATER, id=5, kind="summary"),
        said("Show me code", id=3),
        answered("```python\nferry()", id=4, model="m:1b", interrupted=True, tokens=9),
        answered("8.1 GB.", id=6, kind="grounded", generated_tokens=4),
    ),
)
MARKDOWN = """\
# Trip

A conversation with `m:1b`, begun 2026-08-01T10:00:00+00:00.

System prompt:

> Be short.
> Be kind.

## You

When does it leave?

*Attached: notes.md (text)*

*Attached: cat.png (image, 256 tokens)*

## Assistant (m:1b)

At **nine**.

*What came before, summarised by the model:*

> It leaves at nine.

## You

Show me code

## Assistant (m:1b)

```python
ferry()
```

*Stopped here.*

## Assistant (from guides and tools)

8.1 GB.
"""


def test_markdown_reads_like_the_conversation() -> None:
    assert to_markdown(TALK) == MARKDOWN


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("plain", "plain"),
        ("```\na\n```", "```\na\n```"),
        ("```\na", "```\na\n```"),
        ("````md\n```\nb\n```", "````md\n```\nb\n```\n````"),
        ("~~~\n```", "~~~\n```\n~~~"),
        ("```\n```py", "```\n```py\n```"),
        ("``` not`a fence", "``` not`a fence"),
        ("    ```", "    ```"),
        ("``", "``"),
    ],
)
def test_a_code_block_left_open_is_closed(text: str, closed: str) -> None:
    talk = replace(TALK, system=None, messages=(answered(text), said("next")))
    assert f"## Assistant\n\n{closed}\n\n## You\n\nnext\n" in to_markdown(talk)


def test_a_conversation_with_nothing_in_it_has_a_heading() -> None:
    empty = Conversation(3, "", NOW, NOW)
    assert to_markdown(empty) == f"# conversation 3\n\nA conversation, begun {NOW}.\n"
    assert from_json(to_json(empty)) == empty


def test_json_brings_everything_back() -> None:
    assert from_json(to_json(TALK)) == TALK
    written = json.loads(to_json(TALK))
    assert written["format"] == "assistant conversation"
    assert written["version"] == 1
    assert written["conversation"]["messages"][0]["attachments"][1]["data"] == "iVBORwD/"


def test_json_of_a_speed_that_is_no_number_can_be_read_by_others() -> None:
    talk = replace(TALK, messages=(answered("x", decode_tokens_per_s=float("nan")),))
    assert "NaN" not in to_json(replace(talk, summarised_to=None))


def test_what_a_newer_version_adds_is_left_out_and_what_is_missing_has_its_default() -> None:
    written = {
        "format": "assistant conversation",
        "version": 1,
        "mood": "good",
        "conversation": {
            "created_at": NOW,
            "updated_at": NOW,
            "colour": "blue",
            "messages": [{"speaker": "user", "content": "hi", "at": NOW, "likes": 3}],
        },
    }
    assert from_json(json.dumps(written)) == Conversation(0, "", NOW, NOW, messages=(said("hi"),))


def put(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(written: Any) -> None:
        for step in path[:-1]:
            written = written[step]
        written[path[-1]] = to

    return change


IN = ("conversation", "messages", 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("format", to="other"), "not a conversation that this program exported"),
        (put("version", to=2), "newer version"),
        (put("version", to=True), "version"),
        (put("conversation", to=[]), "conversation"),
        (put("conversation", "messages", to={}), "conversation.messages"),
        (put("conversation", "id", to="7"), "conversation.id"),
        (put("conversation", "name", to=["x"]), "conversation.name"),
        (put("conversation", "created_at", to="yesterday"), "conversation.created_at"),
        (put("conversation", "created_at", to="2026-08-01T10:00:00"), "a time with a zone"),
        (put("conversation", "summarised_to", to=99), "conversation.summarised_to"),
        (put("conversation", "messages", 1, "id", to=1), "two messages of the same id"),
        (put("conversation", "messages", 2, to="hi"), "conversation.messages[2] "),
        (put(*IN, "speaker", to="bob"), "messages[0].speaker"),
        (put(*IN, "kind", to=None), "messages[0].kind"),
        (put(*IN, "content", to=None), "messages[0].content"),
        (put(*IN, "content", to="\ud800"), "half a character"),
        (put(*IN, "tokens", to=1.5), "messages[0].tokens"),
        (put(*IN, "tokens", to=True), "messages[0].tokens"),
        (put(*IN, "tokens", to=10**30), "messages[0].tokens"),
        (put(*IN, "decode_tokens_per_s", to=10**400), "decode_tokens_per_s"),
        (put(*IN, "interrupted", to=1), "messages[0].interrupted"),
        (put(*IN, "attachments", to=[3]), "messages[0].attachments[0] "),
        (put(*IN, "attachments", 0, "kind", to="video"), "attachments[0].kind"),
        (put(*IN, "attachments", 1, "data", to="!!!"), "attachments[1].data"),
        (put(*IN, "attachments", 1, "data", to="é"), "attachments[1].data"),
    ],
)
def test_a_part_that_makes_no_sense_is_named(change: Callable[[Any], None], named: str) -> None:
    written = json.loads(to_json(TALK))
    change(written)
    with pytest.raises(NotAConversationError) as caught:
        from_json(json.dumps(written))
    assert named in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint


@pytest.mark.parametrize("name", ["speaker", "content", "at"])
def test_a_part_that_is_missing_is_named(name: str) -> None:
    written = json.loads(to_json(TALK))
    del written["conversation"]["messages"][0][name]
    with pytest.raises(NotAConversationError, match=rf"messages\[0\]\.{name} .* is missing"):
        from_json(json.dumps(written))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Trip",
        "[",
        "[]",
        "null",
        "3",
        '"text"',
        "{}",
        "NaN",
        "[" * 100_000,
        "1" * 10_000,
        to_json(TALK).replace("31.5", "NaN"),
        to_json(TALK).replace("31.5", "1e999"),
    ],
)
def test_what_is_no_conversation_is_refused(text: str) -> None:
    with pytest.raises(NotAConversationError):
        from_json(text)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("When does it leave?", "When-does-it-leave.md"),
        ("../../etc/passwd", "etc-passwd.md"),
        ("C:\\temp\\x.exe", "C-temp-x-exe.md"),
        ("  ...  ", "conversation-7.md"),
        ("", "conversation-7.md"),
        ("CON", "conversation-7.md"),
        ("lpt1", "conversation-7.md"),
        ("Köln & Umgebung", "Köln-Umgebung.md"),
        ("北京旅行", "北京旅行.md"),
        ("-rf", "rf.md"),
        ("🎉", "conversation-7.md"),
        ("x" * 300, "x" * 60 + ".md"),
        ("京" * 300, "京" * 40 + ".md"),
    ],
)
def test_files_are_named_after_the_conversation(title: str, name: str) -> None:
    talk = Conversation(7, title, NOW, NOW)
    assert export_name(talk, "md") == name
    assert export_name(replace(talk, name="Other"), "json") == "Other.json"
