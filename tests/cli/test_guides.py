"""`assistant guides`: what each command prints, as text and as JSON, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.knowledge import dense, embedder_choice
from tests.running import CommandResult
from tests.support.embedding_server import embedding

RunCli = Callable[..., CommandResult]


@pytest.fixture(autouse=True)
def nothing_to_embed_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server, no files of chromadb's, no model of sentence-transformers."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(embedder_choice, "_PACKAGED", "no_such_package")
    dense._indexes.clear()
    dense._embedders.clear()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "my notes"
    folder.mkdir()
    (folder / "backup plan.md").write_text(
        "# Backup plan\n\nThe walrus server is saved at three.\n\n## Restore\n\nAsk the penguin.\n"
    )
    return folder


def test_list_names_every_guide(run_cli: RunCli) -> None:
    shown = run_cli("guides", "list")
    assert (shown.exit_code, shown.stderr) == (0, "")
    data = run_cli("guides", "list", "--json").json["data"]
    for guide in data["guides"]:
        assert f"  {guide['name']} " in shown.stdout
        assert guide["sections"]
    assert (data["notes"], data["index"]) == ([], None)
    assert "words only" in shown.stdout


def test_show_a_guide_and_a_section(run_cli: RunCli) -> None:
    whole = run_cli("guides", "show", "memory")
    assert whole.exit_code == 0
    assert "Sources:" in whole.stdout
    assert "asked:" not in whole.stdout
    part = run_cli("guides", "show", "memory", "kv CACHE", "--json").json["data"]
    assert [section["heading"] for section in part["sections"]] == ["KV cache"]
    assert part["origin"] == "bundled"
    assert run_cli("guides", "show", "What fills the memory").stdout == whole.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "memry"], "Did you mean memory?"),
        (["show", "memory", "zebra"], "There are: "),
        (["show", "../../etc/passwd"], "there is no guide"),
        (["search", "x", "--own", "--bundled"], "exclude each other"),
        (["search", ""], "the query is empty"),
        (["search", "x", "--limit", "0"], "Invalid value"),
        (["remove", "memory"], "no note of yours"),
        (["index", "--embedder", "openai"], "is not an embedder"),
        (["add", "picture.png"], "there is no file or folder"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str, run_cli: RunCli) -> None:
    shown = run_cli("guides", *arguments)
    assert shown.exit_code in {1, 2}
    assert said.lower() in shown.stderr.lower()
    assert "Traceback" not in shown.stderr
    as_json = run_cli("guides", *arguments, "--json")
    assert as_json.json["status"] == "error"
    assert as_json.exit_code == shown.exit_code


def test_search_shows_where_a_passage_is_from(run_cli: RunCli) -> None:
    shown = run_cli("guides", "search", "why", "is", "partial", "offload", "slow")
    assert shown.exit_code == 0
    assert "assistant guides show" in shown.stdout
    assert "assistant guides index" in shown.stderr
    found = run_cli("guides", "search", "why is partial offload slow", "--json").json["data"]
    assert found["kind"] == "bm25"
    assert len(found["passages"]) == 4
    assert any("offload" in p["section"].lower() for p in found["passages"])
    assert run_cli("guides", "search", "x", "--words").stderr == ""


def test_nothing_found_is_no_error(run_cli: RunCli) -> None:
    shown = run_cli("guides", "search", "zzqqxx")
    assert (shown.exit_code, shown.stdout) == (
        0, "Nothing was found: no passage shares a word with that.\n",
    )  # fmt: skip


def test_notes_are_added_shown_found_and_forgotten(run_cli: RunCli, notes: Path) -> None:
    added = run_cli("guides", "add", str(notes))
    assert (added.exit_code, added.stdout) == (0, "Added: my/my-notes/backup-plan\n")
    assert "Unchanged" in run_cli("guides", "add", str(notes)).stdout
    listed = run_cli("guides", "list", "--json").json["data"]["notes"]
    assert [(n["name"], n["state"], n["passages"]) for n in listed] == [
        ("my/my-notes/backup-plan", "current", 2)
    ]
    found = run_cli("guides", "search", "walrus server").stdout
    assert found.startswith("1. Backup plan: Backup plan (your note)\n")
    page = run_cli("guides", "show", "my/my-notes/backup-plan").stdout
    assert "The walrus server is saved at three." in page
    assert "Your own note" in page
    own = run_cli("guides", "search", "walrus", "--own", "--json").json["data"]["passages"]
    assert {p["origin"] for p in own} == {"own"}
    gone = run_cli("guides", "remove", "my/", "--json").json["data"]
    assert gone["removed"] == ["my/my-notes/backup-plan"]
    assert "walrus" not in run_cli("guides", "search", "walrus server").stdout


def test_some_files_that_cannot_be_read_are_partly_done(run_cli: RunCli, notes: Path) -> None:
    (notes / "bad.pdf").write_bytes(b"no")
    shown = run_cli("guides", "add", str(notes))
    assert shown.exit_code == 5
    assert "Added: my/my-notes/backup-plan" in shown.stdout
    assert "bad.pdf" in shown.stderr
    alone = run_cli("guides", "add", str(notes / "bad.pdf"), "--json")
    assert (alone.exit_code, alone.json["status"]) == (1, "error")


def test_a_note_cannot_move_the_terminal(run_cli: RunCli, notes: Path) -> None:
    (notes / "odd.md").write_text("# \x1b]0;title\x07 odd\n\nwalrus \x1b[2J\x1b[31m text\n")
    run_cli("guides", "add", str(notes))
    for arguments in (["list"], ["search", "walrus"], ["show", "my/my-notes/odd"]):
        assert "\x1b" not in run_cli("guides", *arguments).stdout


def test_without_an_embedder_indexing_says_what_to_install(run_cli: RunCli) -> None:
    shown = run_cli("guides", "index")
    assert shown.exit_code == 0
    assert "ollama pull nomic-embed-text" in shown.stdout
    asked = run_cli("guides", "index", "--embedder", "onnx")
    assert (asked.exit_code, asked.stdout) == (1, "")


def test_index_then_search_by_meaning_then_repair(
    run_cli: RunCli, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cli("guides", "add", str(notes))
    with embedding(**{"nomic-embed-text": 270_000_000}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        built = run_cli("guides", "index")
        assert built.exit_code == 0
        assert "Indexed guides:" in built.stdout
        assert "Indexed your notes: 2 passages with nomic-embed-text." in built.stdout
        sent = len(server.inputs)
        run_cli("guides", "index")
        assert len(server.inputs) == sent + 1, "only the probe is sent again"
        found = run_cli("guides", "search", "walrus", "--json").json["data"]
        assert (found["kind"], found["embedder"]) == ("hybrid", "nomic-embed-text")
        assert "with nomic-embed-text" in run_cli("guides", "list").stdout
        (notes / "new.md").write_text("The seal is new.")
        assert "guides index" in run_cli("guides", "add", str(notes)).stdout
        again = run_cli("guides", "search", "seal", "--json").json["data"]
        assert again["note"] is None, "a stale index is brought up to date"
        assert run_cli("guides", "index", "--remove").exit_code == 0
        assert run_cli("guides", "search", "walrus", "--json").json["data"]["kind"] == "bm25"


def test_notes_that_changed_are_read_again_by_index(run_cli: RunCli, notes: Path) -> None:
    run_cli("guides", "add", str(notes))
    (notes / "backup plan.md").write_text("# Backup plan\n\nThe seal server.\n")
    assert "changed since" in run_cli("guides", "list").stdout
    data = run_cli("guides", "index", "--json").json["data"]
    assert data["notes_read_again"] == ["my/my-notes/backup-plan"]
    assert "seal" in run_cli("guides", "search", "seal", "--own").stdout


def test_every_command_has_help_and_an_example(run_cli: RunCli) -> None:
    for name in ("list", "show", "search", "add", "remove", "index"):
        shown = run_cli("guides", name, "--help").stdout
        assert f"assistant guides {name}" in shown.partition("Examples:")[2]
