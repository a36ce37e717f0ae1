"""What can be typed in a chat: commands, their help, what Tab offers, and what is remembered."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.chat.budget import ContextUsage
from assistant.chat.chat_problems import TooLongError
from assistant.chat.own_model import OwnModel
from assistant.chat.records import ConversationInfo, SearchHit
from assistant.chat.stats import ChatStats
from assistant.cli.chat_actions import ACTIONS
from assistant.cli.chat_commands import (
    COMMANDS,
    MissingArgumentError,
    TypedCommand,
    UnknownCommandError,
    ends_in_backslash,
    find_command,
    needs_more,
    parse_line,
    render_help,
)
from assistant.cli.chat_completion import candidates
from assistant.cli.chat_copy import LONGEST_OSC52, clipboard_program, copy_with, osc52
from assistant.cli.chat_files import path_of
from assistant.cli.chat_history import LONGEST_KEPT, MOST_KEPT, TypedHistory
from assistant.cli.chat_roles import chat_role, chat_roles
from assistant.cli.chat_text import (
    render_hits,
    render_opening,
    render_sessions,
    render_stats,
    render_status,
    render_unsent,
    render_usage,
    short_count,
    when,
)
from assistant.errors import UsageError
from assistant.ollama.server_address import parse_address

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


# Commands


@pytest.mark.parametrize(
    ("line", "name", "argument"),
    [
        ("/help", "help", ""),
        ("  /HELP file ", "help", "file"),
        ("/?", "help", ""),
        ("/q", "exit", ""),
        ("/model  qwen3:8b", "model", "qwen3:8b"),
        ("/system two\nlines", "system", "two\nlines"),
    ],
)
def test_commands_are_read_with_their_argument(line: str, name: str, argument: str) -> None:
    assert parse_line(line) == TypedCommand(find_command(name), argument)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hello", "hello"),
        ("/etc/hosts is empty", "/etc/hosts is empty"),
        ("/ is the root", "/ is the root"),
        ("//help me", "/help me"),
        ("1/2", "1/2"),
        ("/* a comment */", "/* a comment */"),
    ],
)
def test_anything_else_is_a_message(line: str, message: str) -> None:
    assert parse_line(line) == message


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("/hepl", "/help"), ("/modle", "/model"), ("/sess", "/sessions"), ("/exi", "/exit"),
     ("/quti", "/exit"), ("/foget", "/forget")],
)  # fmt: skip
def test_unknown_commands_say_what_may_be_meant(typed: str, meant: str) -> None:
    with pytest.raises(UnknownCommandError) as caught:
        parse_line(typed)
    assert f"Did you mean {meant}" in (caught.value.hint or "")


def test_a_slash_alone_is_no_message() -> None:
    with pytest.raises(UnknownCommandError) as caught:
        parse_line(" / ")
    assert caught.value.hint == "Did you mean /help?"


def test_an_unknown_command_near_nothing_points_to_the_help() -> None:
    with pytest.raises(UnknownCommandError) as caught:
        parse_line("/xyzzyx")
    assert "/help lists the commands." in (caught.value.hint or "")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.needs_argument], ids=lambda c: c.name)
def test_commands_that_need_something_say_what(command: object) -> None:
    name = getattr(command, "name", "")
    with pytest.raises(MissingArgumentError) as caught:
        parse_line(f"/{name}")
    assert (caught.value.hint or "").startswith(f"Type: /{name} ")
    assert needs_more(f"/{name}")
    assert not needs_more(f"/{name} something")


@given(st.text())
def test_any_line_is_a_command_a_message_or_explained(line: str) -> None:
    try:
        parsed = parse_line(line)
    except (UnknownCommandError, MissingArgumentError) as error:
        parsed = error.hint or "no hint"
        line += error.hint or ""
    assert isinstance(parsed, TypedCommand) or parsed in line


def test_every_command_does_something_and_no_name_is_taken_twice() -> None:
    assert set(ACTIONS) == {command.name for command in COMMANDS}
    names = [name for c in COMMANDS for name in (c.name, *c.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("width", [39, 60, 79, 100])
def test_help_fits_and_has_every_command(width: int) -> None:
    text = render_help(width=width)
    assert max(map(len, text.splitlines())) <= width
    assert all(command.usage in text for command in COMMANDS)
    assert "Ctrl-C" in text


def test_help_for_one_command() -> None:
    assert render_help("/quit") == "/exit: end the chat (also Ctrl-D). Also: /quit, /bye, /q."


@pytest.mark.parametrize(
    ("line", "goes_on"), [("a\\", True), ("a", False), ("a\\\\", False), ("\\", True), ("", False)]
)
def test_a_backslash_at_the_end_goes_on(line: str, goes_on: bool) -> None:
    assert ends_in_backslash(line) is goes_on


# Completion


class Known:
    """Names as a chat has them."""

    def models(self) -> Sequence[str]:
        return ("qwen3:8b", "gemma4:12b", "assistant-chat")

    def roles(self) -> Sequence[tuple[str, str]]:
        return (("chat", "chat"), ("code", "code"))

    def sessions(self) -> Sequence[tuple[str, str]]:
        return (("parser", "how to parse"), ("#3", "the sky"))


def offered(text: str) -> list[str]:
    return [each.text for each in candidates(text, Known())]


@pytest.mark.parametrize(
    ("text", "offers"),
    [
        ("/se", ["/sessions", "/search"]),
        ("/model ", ["qwen3:8b", "gemma4:12b", "assistant-chat"]),
        ("/model chat", ["assistant-chat"]),
        ("/MODEL ge", ["gemma4:12b"]),
        ("/role c", ["chat", "code"]),
        ("/sessions p", ["parser"]),
        ("/sessions #", ["#3"]),
        ("/export j", ["json"]),
        ("/context d", ["drop"]),
        ("/undo ", []),
        ("/nothing x", []),
        ("hello", []),
        ("say /model", []),
    ],
)
def test_tab_offers_what_fits(text: str, offers: list[str]) -> None:
    assert offered(text) == offers


def test_every_command_is_offered_with_its_help() -> None:
    found = {each.text: each.help for each in candidates("/", Known())}
    assert found == {f"/{command.name}": command.help for command in COMMANDS}


def test_tab_offers_files_of_the_folder_being_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a b.md").write_text("x")
    (tmp_path / "Draft.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert offered("/file ") == ["Draft.txt", "docs/"]
    assert offered("/file d") == ["Draft.txt", "docs/"]
    assert offered("/file .") == [".hidden"]
    assert offered("/file docs/a") == ["a b.md"]
    assert offered("/file ~/docs/") == ["a b.md"]
    assert offered("/file --split do") == ["docs/"]
    assert offered("/export md do") == ["docs/"]
    assert offered(f"/file {tmp_path}/Dr") == ["Draft.txt"]
    assert offered("/file nowhere/x") == []


def test_what_is_offered_takes_the_place_of_what_is_typed() -> None:
    text = "/model GEM"
    (offer,) = candidates(text, Known())
    assert text[: len(text) - offer.replaces] + offer.text == "/model gemma4:12b"


def test_a_dropped_file_is_read_as_a_shell_would(tmp_path: Path) -> None:
    file = tmp_path / "it's here.md"
    file.write_text("x")
    assert path_of(str(file)) == file
    assert path_of(str(file).replace(" ", "\\ ").replace("'", "\\'")) == file
    assert path_of(f'"{file}"') == file
    assert path_of("~nobody-here/x") == Path("~nobody-here/x")


# Roles


def test_only_roles_that_can_chat_are_offered_and_taken() -> None:
    names = [name for name, _ in chat_roles()]
    assert "chat" in names
    assert "embeddings" not in names
    assert all(chat_role(name) == name for name in names)
    assert chat_role(" coding") == "code"
    for refused in ("nope", "embeddings", "embed", ""):
        with pytest.raises(UsageError) as caught:
            chat_role(refused)
        assert caught.value.hint == f"Roles: {', '.join(names)}."


# History


def test_history_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "typed.jsonl"
    history = TypedHistory(path)
    history.add("one\ntwo")
    history.add("three")
    history.add("three")
    history.add("   ")
    history.add("x" * (LONGEST_KEPT + 1))
    assert TypedHistory(path).lines == ["one\ntwo", "three"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_chats_add_to_one_history(tmp_path: Path) -> None:
    path = tmp_path / "typed.jsonl"
    one, other = TypedHistory(path), TypedHistory(path)
    one.add("from one")
    other.add("from the other")
    one.forget({"from one"})
    assert TypedHistory(path).lines == ["from the other"]


def test_history_forgets_for_good(tmp_path: Path) -> None:
    path = tmp_path / "typed.jsonl"
    history = TypedHistory(path)
    history.add("a secret")
    history.add("no secret")
    history.forget({" a secret\n"})
    assert history.lines == ["no secret"]
    assert b"a secret" not in path.read_bytes()
    history.forget()
    assert history.lines == TypedHistory(path).lines == []


def test_history_is_cut_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "typed.jsonl"
    many = b"".join(b'"line %d"\n' % number for number in range(2 * MOST_KEPT + 1))
    path.write_bytes(b"\xff broken\n" + many + b'{"no": 1}\n"last"\n')
    assert len(TypedHistory(path).lines) == MOST_KEPT
    assert TypedHistory(path).lines[-1] == "last"


def test_history_forgets_every_line_typed_in_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "typed.jsonl"
    path.write_bytes(b'"from an older version"\n')
    at = 7
    history = TypedHistory(path, conversation=lambda: at)
    for text in ("/search rent", "/system Be a lawyer.", "/nosuch", "What now?"):
        history.add(text)
    at = 8
    history.add("What now?")
    history.add("of another conversation")
    at = 7
    again = TypedHistory(path, conversation=lambda: at)
    again.add("/save evicted")
    again.forget({"What now?"}, conversation=7)
    assert again.lines == ["from an older version", "of another conversation"]
    written = path.read_bytes()
    for word in (b"rent", b"lawyer", b"nosuch", b"evicted", b"What now?"):
        assert word not in written
    assert TypedHistory(path).lines == again.lines


def test_a_cleared_draft_and_a_very_long_line_come_back_and_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "typed.jsonl"
    history = TypedHistory(path, conversation=lambda: 7)
    long = "x" * (LONGEST_KEPT + 1)
    history.add("short")
    history.keep_unsent("a draft")
    history.add(long)
    assert history.lines == ["short", "a draft", long]
    assert TypedHistory(path).lines == ["short"]
    history.forget({"short"})
    assert history.lines == ["a draft", long]
    history.forget(conversation=7)
    assert history.lines == []


def test_history_without_a_file_is_in_memory_alone(tmp_path: Path) -> None:
    history = TypedHistory(None)
    history.add("one")
    history.add("two")
    history.forget({"one"})
    assert history.lines == ["two"]
    assert list(tmp_path.iterdir()) == []


# Clipboard


def test_osc52_has_the_text_and_a_limit() -> None:
    assert osc52("hé") == "\x1b]52;c;aMOp\x07"
    assert osc52("x" * LONGEST_OSC52) is None


def test_a_program_of_the_desktop_copies(tmp_path: Path) -> None:
    program = tmp_path / "wl-copy"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\n")
    program.chmod(0o700)
    env = {"WAYLAND_DISPLAY": "wayland-0", "PATH": f"{tmp_path}:/bin:/usr/bin"}
    assert clipboard_program(env) == ["wl-copy"]
    assert copy_with([str(program)], "text") is True
    assert (tmp_path / "copied").read_text() == "text"
    assert clipboard_program({"PATH": str(tmp_path)}) is None
    assert copy_with([str(tmp_path / "gone")], "text") is False


# What a chat says about itself


MODEL = OwnModel("gemma4:12b", frozenset({"completion"}), 16384, num_ctx_is_exact=True)


def opening(url: str, *, remote: bool = False, saved: bool = True) -> str:
    model = OwnModel(MODEL.name, MODEL.capabilities, 16384, remote=remote, num_ctx_is_exact=True)
    return render_opening(model, parse_address(url), saved=saved, width=200)


def test_that_nothing_leaves_is_said_only_when_it_is_so() -> None:
    assert opening("127.0.0.1") == (
        "gemma4:12b · 16,384 tokens of context · nothing leaves this machine"
    )
    assert opening("localhost", saved=False).endswith("nothing leaves this machine · not saved")
    assert "goes to http://gpu-box:11434" in opening("gpu-box")
    assert "cloud" in opening("127.0.0.1", remote=True)
    for text in (opening("gpu-box"), opening("127.0.0.1", remote=True)):
        assert "nothing leaves" not in text


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (79, "gemma4:12b    about 1,234 of 16,384 tokens    31 tokens/s    2 files attached"),
        (60, "gemma4:12b    ~1.2k/16k    31 t/s    2 files attached"),
        (39, "gemma4:12b    ~1.2k/16k    31 t/s"),
        (22, "~1.2k/16k    31 t/s"),
        (10, "~1.2k/16k"),
    ],
)
def test_status_line_says_what_there_is_room_for(width: int, line: str) -> None:
    usage = ContextUsage(1234, 16384, exact=False)
    shown = render_status(MODEL.name, usage, tokens_per_s=31.4, attached=2, width=width)
    assert shown == line


def test_exact_counts_are_not_called_about() -> None:
    usage = ContextUsage(1234, 16384, exact=True)
    line = render_status(MODEL.name, usage, tokens_per_s=None, width=79)
    assert line == "gemma4:12b    1,234 of 16,384 tokens"


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(0, "0"), (812, "812"), (1024, "1k"), (1234, "1.2k"), (9999, "10k"), (16384, "16k"),
     (131072, "128k"), (20000, "20k")],
)  # fmt: skip
def test_short_counts(tokens: int, text: str) -> None:
    assert short_count(tokens) == text


def test_why_a_draft_was_not_sent_is_a_short_line() -> None:
    told = render_unsent(TooLongError(tokens=2911, room=2048))
    assert told == "Not sent: about 2,911 tokens, and there is room for 2,048."
    assert render_unsent(UsageError("no.")) == "Not sent: no."


def test_usage_says_what_happens_when_it_is_full() -> None:
    text = render_usage(ContextUsage(2048, 8192, exact=False), "drop", width=200)
    assert text.startswith("About 2,048 of 8,192 tokens are used (25 %).")
    assert "left out" in text
    assert "summarised" in render_usage(ContextUsage(1, 2, exact=True), "summarise")


def test_stats_leave_out_what_is_not_known() -> None:
    known = render_stats(ChatStats(3, 1200, 400, 31.42, 0.81, 125.0))
    assert "31.4 tokens/s" in known
    assert "2 min 5 s" in known
    nothing = render_stats(ChatStats(0, 0, 0, None, None, 2.0))
    assert "speed" not in nothing


INFOS = (
    ConversationInfo(12, "How do I parse dates?", (NOW - timedelta(minutes=5)).isoformat(), 4,
                     name="dates"),
    ConversationInfo(3, "The sky", (NOW - timedelta(days=9)).isoformat(), 2),
)  # fmt: skip


def test_sessions_are_a_table_with_the_open_one_marked() -> None:
    text = render_sessions(INFOS, current=3, now=NOW)
    assert text.splitlines()[1].split() == ("#12 5 min ago 4 dates: How do I parse dates?".split())
    assert text.splitlines()[2].startswith("*#3")
    assert "2026-11-18" in text
    narrow = render_sessions(INFOS, current=3, now=NOW, width=39)
    assert max(map(len, narrow.splitlines())) <= 39
    assert "No conversations" in render_sessions((), current=None, now=NOW)


@pytest.mark.parametrize(
    ("ago", "text"),
    [(timedelta(seconds=20), "just now"), (timedelta(minutes=59), "59 min ago"),
     (timedelta(hours=5), "5 h ago"), (timedelta(days=1), "1 day ago"),
     (timedelta(days=6), "6 days ago"), (timedelta(days=8), "2026-11-19"),
     (timedelta(seconds=-50), "just now")],
)  # fmt: skip
def test_times_are_said_as_people_do(ago: timedelta, text: str) -> None:
    assert when((NOW - ago).isoformat(), NOW) == text


def test_hits_show_where_and_what() -> None:
    hit = SearchHit(7, 9, "The sky", "assistant", "light is [scattered]\nmore", NOW.isoformat())
    text = render_hits([hit], "scattered")
    assert text.splitlines()[:2] == ["#7 The sky", "  the model: light is [scattered] more"]
    assert render_hits([], "moon") == "No message has 'moon' in it."
