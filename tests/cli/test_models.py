"""`assistant models` and `assistant rollback`: what they print, ask, change, and how they end."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.cli.main import run
from assistant.models.names import parse_model_name
from assistant.models.registry_cache import RegistryCache
from assistant.ollama.client import OllamaClient
from assistant.paths import cache_folder, data_folder
from assistant.provision.ledger import read_ledger, with_entry, write_ledger
from tests.running import CommandResult
from tests.support.fake_ollama import (
    ALL_MINILM,
    GEMMA3_270M,
    SMOLLM2,
    Fault,
    OllamaServer,
    library_model,
)
from tests.support.provisioned import set_up

RunCli = Callable[..., CommandResult]
ROOT = Path(__file__).parents[2]
QWEN = library_model("qwen3:8b")
INSTALLED = ["smollm2:135m", "gemma3:270m", "qwen3:8b", "all-minilm"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """A server with four models and nothing set up."""
    library = [SMOLLM2, GEMMA3_270M, QWEN, ALL_MINILM]
    with OllamaServer(library=library, installed=INSTALLED) as running:
        monkeypatch.setenv("OLLAMA_HOST", running.host)
        yield running


@pytest.fixture
def provisioned(server: OllamaServer) -> OllamaServer:
    """Two versions of chat, one of code, embeddings in the place of a model that was there."""
    with OllamaClient(server.address) as client:
        client.copy("gemma3:270m", "assistant-embeddings")
        set_up(client, "chat", "smollm2:135m")
        set_up(client, "chat", "qwen3:8b", num_ctx=16384, at="2026-11-21T11:00:00+00:00")
        set_up(client, "code", "qwen3:8b", num_ctx=32768)
        set_up(client, "embeddings", "all-minilm", num_ctx=256, system=None, decode=None)
    return server


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")


def fixed(text: str, server: OllamaServer) -> str:
    """Return the text without the port and the digests, which are the test server's own."""
    return re.sub(r"\b[0-9a-f]{12}\b", "0123456789ab", text.replace(server.host, "HOST:11434"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list"],
        ["models", "list", "llama3.1"],
        ["models", "show", "chat"],
        ["models", "show", "gemma3:270m"],
        ["models", "history"],
        ["models", "check", "--offline"],
        ["models", "remove", "code", "--dry-run"],
        ["models", "remove", "qwen3:8b", "--dry-run"],
        ["models", "remove", "gemma3:270m", "--dry-run"],
        ["rollback"],
        ["rollback", "chat", "--dry-run"],
        ["rollback", "code", "--dry-run"],
        ["rollback", "embeddings", "--dry-run"],
    ],
    ids=" ".join,
)
def test_screens(
    arguments: list[str], provisioned: OllamaServer, run_cli: RunCli, snapshot: SnapshotAssertion
) -> None:
    provisioned.load("assistant-chat")
    before = dict(provisioned.state.manifests)
    shown = run_cli(*arguments)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert fixed(shown.stdout, provisioned) == snapshot
    assert provisioned.state.manifests == before, "nothing of this changes anything"
    assert max(map(len, fixed(shown.stdout, provisioned).splitlines())) <= 80
    as_json = run_cli(*arguments, "--json")
    assert (as_json.exit_code, as_json.stderr, as_json.json["status"]) == (0, "", "ok")


def test_list_says_what_each_is_for(provisioned: OllamaServer, run_cli: RunCli) -> None:
    provisioned.load("assistant-chat")
    data = run_cli("models", "list", "--json").json["data"]
    rows = {row["name"]: row for row in data["models"]}
    assert rows["assistant-chat"]["role"] == "chat"
    assert rows["assistant-chat"]["model"] == "qwen3:8b"
    assert rows["assistant-chat"]["num_ctx"] == 16384
    assert rows["assistant-chat"]["measured_tokens_per_s"] == 31.4
    assert rows["assistant-chat"]["loaded"]["num_ctx"] == 16384
    assert rows["assistant-chat"]["drift"]["notes"] == []
    assert rows["assistant-code"]["loaded"] is None
    assert rows["qwen3:8b"]["base_of"] == ["assistant-chat", "assistant-code"]
    assert rows["assistant-embeddings:before-setup"]["backup_of"] == "assistant-embeddings"
    assert rows["gemma3:270m"]["set_up"] is False
    assert data["catalog"] is None
    assert len(rows) == 8


def test_list_marks_what_was_changed(provisioned: OllamaServer, run_cli: RunCli) -> None:
    with OllamaClient(provisioned.address) as client:
        client.copy("gemma3:270m", "assistant-chat")
        client.delete("assistant-code")
    shown = run_cli("models", "list")
    assert "\n!  assistant-chat " in shown.stdout
    assert "\n!  assistant-code " in shown.stdout
    assert "assistant setup --role code" in shown.stdout
    assert "assistant-code is no longer on the server." in shown.stdout


def test_a_query_finds_installed_models_first_then_the_catalog(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    data = run_cli("models", "list", "qwen3", "8b", "--json").json["data"]
    assert [row["name"] for row in data["models"]] == [
        "assistant-chat", "assistant-code", "qwen3:8b",
    ]  # fmt: skip
    names = [card["name"] for card in data["catalog"]]
    assert "qwen3:8b" in names
    assert "llama3.1:8b" not in names
    text = run_cli("models", "list", "qwen3", "8b").stdout
    assert text.index("installed models for") < text.index("in the catalog")
    assert run_cli("models", "list", "CHAT").stdout.count("assistant-chat") > 0
    nothing = run_cli("models", "list", "xyzzy")
    assert nothing.exit_code == 0
    assert "The catalog has nothing with 'xyzzy'." in nothing.stdout


def test_list_without_a_server_shows_the_ledger(provisioned: OllamaServer, run_cli: RunCli) -> None:
    provisioned.stop()
    shown = run_cli("models", "list")
    assert shown.exit_code == 0
    assert "assistant-chat" in shown.stdout
    assert "gemma3:270m" not in shown.stdout
    assert "No Ollama server answers" in shown.stderr
    data = run_cli("models", "list", "--json").json["data"]
    assert data["server"]["reachable"] is False
    assert data["models"][0]["installed"] is False
    assert data["models"][0]["drift"] is None
    assert run_cli("models", "history", "chat").exit_code == 0
    assert "no server answers" in run_cli("models", "show", "chat").stdout


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list"],
        ["models", "list", "no such thing"],
        ["models", "show", "chat"],
        ["models", "check"],
        ["models", "remove", "chat", "--yes"],
    ],
    ids=" ".join,
)
def test_where_nothing_can_be_shown_the_server_is_the_error(
    arguments: list[str], run_cli: RunCli
) -> None:
    shown = run_cli(*arguments)
    assert shown.exit_code == 3
    assert "no Ollama server answers at http://127.0.0.1:1" in shown.stderr
    assert "ollama serve" in shown.stderr
    assert run_cli(*arguments, "--json").json["errors"][0]["code"] == "ollama_unreachable"


@pytest.mark.usefixtures("no_server")
def test_the_catalog_is_searched_without_a_server(run_cli: RunCli) -> None:
    shown = run_cli("models", "list", "llama3.1")
    assert shown.exit_code == 0
    assert "llama3.1:8b" in shown.stdout
    assert "4.9 GB" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["models", "show", "qwn3:8b"], 2, "Did you mean qwen3:8b?"),
        (["models", "show", "vision"], 2, "assistant setup --role vision"),
        (["models", "history", "gemma3:270m"], 2, "there is no model"),
        (["models", "remove", "nope", "--yes"], 2, "there is no model 'nope'"),
        (["models", "remove", "code"], 2, "--dry-run"),
        (["models", "remove", "code", "--json"], 2, "--yes"),
        (["rollback", "chta"], 2, "Did you mean chat?"),
        (["rollback", "vision", "--yes"], 2, "nothing to roll back"),
        (["rollback", "chat"], 2, "--dry-run"),
        (["rollback", "chat", "--json"], 2, "--yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    arguments: list[str], code: int, said: str, provisioned: OllamaServer, run_cli: RunCli
) -> None:
    before = (dict(provisioned.state.manifests), read_ledger())
    shown = run_cli(*arguments)
    assert shown.exit_code == code
    shown_text = shown.stdout if "--json" in arguments else shown.stderr
    assert said in shown_text.replace("\n", " ")
    assert "Traceback" not in shown.stderr
    assert (dict(provisioned.state.manifests), read_ledger()) == before


def test_show_has_all_of_the_ledger(provisioned: OllamaServer, run_cli: RunCli) -> None:
    data = run_cli("models", "show", "assistant-chat:latest", "--json").json["data"]
    entry = data["ledger"]
    assert entry["modelfile"].startswith("FROM qwen3:8b\n")
    assert entry["blob_digest"] == QWEN.weights.digest
    assert entry["measured"]["decode_tokens_per_s"] == 31.4
    assert entry["expected"]["decode_low"] == 22.0
    assert data["previous"]["model"] == "smollm2:135m"
    assert data["rollback"] == "version"
    assert data["installed"]["num_ctx"] == 16384
    assert run_cli("models", "show", "programming", "--json").json["data"]["role"] == "code"


def test_show_a_model_that_the_server_alone_knows(server: OllamaServer, run_cli: RunCli) -> None:
    data = run_cli("models", "show", "SMOLLM2:135m", "--json").json["data"]
    assert (data["ledger"], data["role"]) == (None, None)
    assert data["installed"]["context_length"] == 8192
    assert data["installed"]["blob_digest"] == SMOLLM2.weights.digest
    server.faults.add(Fault.error("/api/show"))
    assert run_cli("models", "show", "smollm2:135m").exit_code == 3


def test_history_marks_the_version_in_use(provisioned: OllamaServer, run_cli: RunCli) -> None:
    run_cli("rollback", "chat", "--yes")
    found = run_cli("models", "history", "chat", "--json").json["data"]["aliases"][0]
    assert [version["model"] for version in found["versions"]] == ["smollm2:135m", "qwen3:8b"]
    assert (found["current"], found["rollback"]) == (0, "remove")
    lines = run_cli("models", "history", "chat").stdout.splitlines()
    assert [line.endswith("in use") for line in lines[2:4]] == [True, False]


def upstream(model: str, digest: str) -> None:
    """Let the registry be seen, this minute, with these weights behind a tag."""
    cache = RegistryCache(cache_folder() / "registry")
    config = b"{}"
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 9}
    name = f"sha256:{sha256(config).hexdigest()}"
    cache.keep_blob(name, config)
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                   "digest": name, "size": 2},
        "layers": [layer],
    }  # fmt: skip
    key = parse_model_name(model).key
    cache.keep_manifest(key, json.dumps(manifest).encode(), time.time())


def test_check_compares_with_the_registry(provisioned: OllamaServer, run_cli: RunCli) -> None:
    upstream("qwen3:8b", f"sha256:{'e' * 64}")
    upstream("all-minilm", ALL_MINILM.weights.digest)
    shown = run_cli("models", "check")
    assert shown.exit_code == 0
    assert shown.stdout.startswith(
        "Nothing moved on the server; 2 of 3 aliases have something else upstream.\n"
    )
    assert "ollama pull qwen3:8b, then: assistant setup --role chat" in shown.stdout
    found = run_cli("models", "check", "--json").json["data"]
    assert [each["upstream"] for each in found["aliases"]] == ["moved", "moved", "same"]
    assert (found["moved"], found["moved_upstream"]) == (0, 2)
    offline = run_cli("models", "check", "--offline", "--json").json["data"]
    assert [each["upstream"] for each in offline["aliases"]] == ["not_asked"] * 3


def test_check_fails_when_an_alias_is_not_what_it_was(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    with OllamaClient(provisioned.address) as client:
        client.copy("gemma3:270m", "assistant-chat")
        client.delete("assistant-embeddings")
    shown = run_cli("models", "check", "--offline")
    assert shown.exit_code == 1
    assert "assistant-chat was changed since it was set up" in shown.stderr
    assert "assistant setup --role embeddings" in shown.stderr
    found = run_cli("models", "check", "--offline", "--json").json
    assert (found["status"], len(found["errors"])) == ("error", 2)
    assert found["data"]["moved"] == 2


def test_check_sees_a_base_that_was_pulled_anew(provisioned: OllamaServer, run_cli: RunCli) -> None:
    provisioned.publish(QWEN.moved())
    with OllamaClient(provisioned.address) as client:
        list(client.pull("qwen3:8b"))
    shown = run_cli("models", "check", "--offline")
    assert shown.exit_code == 0
    assert "qwen3:8b was pulled or made again" in shown.stdout


def test_the_headline_of_a_check_counts_what_the_table_shows(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    upstream("qwen3:8b", f"sha256:{'e' * 64}")
    with OllamaClient(provisioned.address) as client:
        client.delete("all-minilm")
    shown = run_cli("models", "check")
    assert shown.stdout.startswith(
        "1 of 3 aliases moved since setup, and 2 have something else upstream.\n"
    )
    assert shown.stdout.count("  missing ") == 1
    assert shown.stdout.count("  moved\n") == 2


def test_remove_an_alias_and_its_base(provisioned: OllamaServer, run_cli: RunCli) -> None:
    both = run_cli("models", "remove", "code", "--with-base", "--yes", "--json").json["data"]
    assert (both["removed"], both["names"]) == (True, ["assistant-code:latest"])
    assert both["base_kept_for"] == ["assistant-chat:latest"]
    assert both["frees_bytes"] == 0
    assert provisioned.manifest("qwen3:8b") is not None
    shown = run_cli("models", "remove", "chat", "--with-base", "--yes")
    assert shown.stdout.startswith("Removed assistant-chat and qwen3:8b.\nFreed 5.2 GB.")
    assert "assistant setup --role chat" in shown.stdout
    assert provisioned.manifest("qwen3:8b") is None
    assert read_ledger().current("chat") is None
    assert "assistant rollback embeddings" in run_cli(
        "models", "remove", "embeddings", "--yes"
    ).stdout.replace("\n", " ")


def test_remove_says_that_an_alias_keeps_working(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    shown = run_cli("models", "remove", "qwen3:8b", "--yes")
    assert shown.exit_code == 0
    assert "next to nothing" in shown.stdout
    assert provisioned.manifest("assistant-chat") is not None
    assert "qwen3:8b is no longer on the server" in run_cli("models", "check", "--offline").stdout


NEEDED = "assistant rollback chat would no longer work."


def test_removing_what_a_rollback_needs_is_said_before(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    dry = run_cli("models", "remove", "smollm2:135m", "--dry-run")
    assert NEEDED in " ".join(dry.stdout.split())
    data = run_cli("models", "remove", "smollm2:135m", "--dry-run", "--json").json["data"]
    assert data["ends_rollback_of"] == ["chat"]
    _, out, err = at_a_terminal("n\n", "models", "remove", "smollm2:135m")
    assert out == "Nothing was changed.\n"
    assert NEEDED in " ".join(err.partition("Remove it?")[0].split())
    for other in ("qwen3:8b", "gemma3:270m", "code"):
        data = run_cli("models", "remove", other, "--dry-run", "--json").json["data"]
        assert data["ends_rollback_of"] == [], other


def test_a_copy_of_the_base_keeps_a_rollback_possible(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    with OllamaClient(provisioned.address) as client:
        client.copy("smollm2:135m", "spare")
    data = run_cli("models", "remove", "smollm2:135m", "--yes", "--json").json["data"]
    assert data["ends_rollback_of"] == []
    assert "base gone" not in run_cli("models", "history", "chat").stdout
    assert run_cli("rollback", "chat", "--yes").exit_code == 0


def test_a_version_without_its_base_is_marked(provisioned: OllamaServer, run_cli: RunCli) -> None:
    assert "base gone" not in run_cli("models", "history").stdout
    run_cli("models", "remove", "smollm2:135m", "--yes")
    history = " ".join(run_cli("models", "history", "chat").stdout.split())
    assert "31.4 t/s before, base gone 2 2026-11-21" in history
    assert "31.4 t/s in use assistant rollback chat cannot bring back smollm2:135m" in history
    listed = " ".join(run_cli("rollback").stdout.split())
    assert "cannot bring back smollm2:135m (Q4_1) at 2k: its base is gone" in listed
    found = run_cli("models", "history", "chat", "--json").json["data"]["aliases"][0]
    assert [each["base_on_server"] for each in found["versions"]] == [False, True]
    assert found["rollback_works"] is False
    works = {
        r["alias"]: r["works"] for r in run_cli("rollback", "--json").json["data"]["rollbacks"]
    }
    assert works == {
        "assistant-chat": False, "assistant-code": True, "assistant-embeddings": True,
    }  # fmt: skip
    provisioned.stop()
    silent = run_cli("models", "history", "chat", "--json").json["data"]["aliases"][0]
    assert silent["versions"][0]["base_on_server"] is None
    assert silent["rollback_works"] is None


def test_two_versions_of_one_day_are_told_apart(server: OllamaServer, run_cli: RunCli) -> None:
    with OllamaClient(server.address) as client:
        set_up(client, "chat", "qwen3:8b", num_ctx=8192, at="2026-11-20T10:00:00+00:00")
        entry = set_up(client, "chat", "qwen3:8b", num_ctx=16384, at="2026-11-20T10:41:00+00:00")
    smaller = dataclasses.replace(
        entry, modelfile=f"{entry.modelfile}# again\n", created_at="2026-11-20T11:02:00+00:00",
        estimate={"kv_cache_type": "q8_0"},
    )  # fmt: skip
    write_ledger(with_entry(read_ledger(), smaller))
    lines = run_cli("models", "history", "chat").stdout.splitlines()
    assert "2026-11-20 10:00" in lines[2]
    assert "2026-11-20 10:41" in lines[3]
    assert "2026-11-20 11:02" in lines[4]
    assert " 8k " in lines[2]
    assert " 16k  " in lines[3]
    assert " 16k q8_0 " in lines[4]


def test_what_was_measured_is_one_figure_in_list_and_history(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    for arguments in (("models", "list"), ("models", "history", "embeddings")):
        row = next(s for s in run_cli(*arguments).stdout.splitlines() if "all-minilm" in s)
        assert "400 t/s" in row


def test_a_left_over_candidate_is_marked(provisioned: OllamaServer, run_cli: RunCli) -> None:
    with OllamaClient(provisioned.address) as client:
        client.copy("gemma3:270m", "assistant-chat:next")
    shown = run_cli("models", "list")
    listed = " ".join(shown.stdout.split())
    assert "assistant-chat:next 0.3 GB Q4_K_M left over, the next setup removes it" in listed
    rows = {row["name"]: row for row in run_cli("models", "list", "--json").json["data"]["models"]}
    assert rows["assistant-chat:next"]["candidate_of"] == "assistant-chat"
    assert rows["gemma3:270m"]["candidate_of"] is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rm", "assistant models remove"), ("ls", "assistant models list"),
        ("lst", "assistant models list"), ("histroy", "assistant models history"),
        ("info", "assistant models show"),
    ],
)  # fmt: skip
def test_a_command_that_is_not_there_says_which_was_meant(
    typed: str, meant: str, run_cli: RunCli
) -> None:
    shown = run_cli("models", typed, "x")
    assert shown.exit_code == 2
    assert f"no such command {typed!r}. Did you mean: {meant}?" in " ".join(shown.stderr.split())
    nothing = run_cli("models", "xyzzy")
    assert nothing.exit_code == 2
    assert "Did you mean" not in nothing.stderr


@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list"],
        ["models", "list", "qwen3"],
        ["models", "list", "xyzzy"],
        ["models", "show", "chat"],
        ["models", "show", "embeddings"],
        ["models", "show", "gemma3:270m"],
        ["models", "history"],
        ["models", "check"],
        ["models", "remove", "qwen3:8b", "--dry-run"],
        ["models", "remove", "embeddings", "--yes"],
        ["rollback"],
        ["rollback", "chat", "--yes"],
        ["rollback", "embeddings", "--dry-run"],
    ],
    ids=" ".join,
)
def test_nothing_is_wider_than_the_terminal(
    arguments: list[str],
    width: int,
    provisioned: OllamaServer,
    run_cli: RunCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    upstream("qwen3:8b", f"sha256:{'e' * 64}")
    upstream("all-minilm", ALL_MINILM.weights.digest)
    with OllamaClient(provisioned.address) as client:
        client.copy("gemma3:270m", "assistant-chat:next")
    provisioned.load("assistant-chat")
    shown = run_cli(*arguments)
    assert shown.exit_code == 0
    lines = (shown.stdout + shown.stderr).splitlines()
    assert [line for line in lines if len(line) > width] == []


def test_rollback_and_what_it_says(provisioned: OllamaServer, run_cli: RunCli) -> None:
    shown = run_cli("rollback", "chat", "--yes")
    assert shown.exit_code == 0
    assert shown.stdout == (
        "assistant-chat is smollm2:135m (Q4_1) at 2k again.\n"
        "Undo: assistant setup --role chat --model chat=qwen3:8b\n"
    )
    assert "creating assistant-chat from smollm2:135m" in shown.stderr
    again = run_cli("rollback", "assistant-chat", "--yes", "--json").json["data"]
    assert (again["rolled_back"], again["kind"]) == (True, "remove")
    assert again["now"]["model"] == "smollm2:135m"
    assert provisioned.manifest("assistant-chat") is None
    back = run_cli("rollback", "embeddings", "--yes")
    assert "is the model that was there before setup" in back.stdout
    left = run_cli("rollback", "--json").json["data"]["rollbacks"]
    assert [each["alias"] for each in left] == ["assistant-code"]
    none = run_cli("rollback", "chat", "--yes")
    assert none.exit_code == 2
    assert "assistant setup --role chat" in none.stderr


def test_rollback_without_its_base_changes_nothing(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    run_cli("models", "remove", "smollm2:135m", "--yes")
    before = dict(provisioned.state.manifests)
    shown = run_cli("rollback", "chat", "--yes")
    assert shown.exit_code == 1
    assert "Nothing was changed." in shown.stderr.replace("\n", " ")
    assert "ollama pull smollm2:135m" in shown.stderr
    assert provisioned.state.manifests == before


def test_a_change_of_somebody_else_is_not_lost_silently(
    provisioned: OllamaServer, run_cli: RunCli
) -> None:
    with OllamaClient(provisioned.address) as client:
        client.copy("gemma3:270m", "assistant-chat")
        client.copy("gemma3:270m", "assistant-code")
    assert "that is lost" in run_cli("rollback", "chat", "--dry-run").stdout
    assert "Warning: assistant-chat was changed" in run_cli("rollback", "chat", "--yes").stderr
    refused = run_cli("rollback", "code", "--yes")
    assert refused.exit_code == 1
    assert provisioned.manifest("assistant-code") is not None


class Terminal(io.StringIO):
    """A person at the keyboard."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(answer: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command for a person who answers."""
    before = sys.stdin
    sys.stdin = Terminal(answer)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    finally:
        sys.stdin = before
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (("rollback", "chat"), "Makes assistant-chat (now qwen3:8b (Q4_K_M) at 16k)"),
        (("models", "remove", "chat"), "Removes assistant-chat from the server."),
    ],
)
def test_a_person_is_shown_and_asked(
    arguments: tuple[str, ...], question: str, provisioned: OllamaServer
) -> None:
    before = dict(provisioned.state.manifests)
    for answer in ("n\n", "\n"):
        code, out, err = at_a_terminal(answer, *arguments)
        assert (code, out) == (0, "Nothing was changed.\n")
        assert question in err
        assert provisioned.state.manifests == before
    code, _, err = at_a_terminal("", *arguments)
    assert (code, provisioned.state.manifests) == (130, before), "Ctrl-D is no agreement"
    code, out, _ = at_a_terminal("y\n", *arguments)
    assert code == 0
    assert provisioned.state.manifests != before


HOLDER = """
import sys, time
from pathlib import Path
from assistant.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_setup_is_waited_for(
    provisioned: OllamaServer, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.cli.setup_lock.LOCK_WAIT_S", 0.2)
    command = [sys.executable, "-c", HOLDER, str(data_folder() / "setup.lock")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        for arguments in (["rollback", "chat", "--yes"], ["models", "remove", "chat", "--yes"]):
            shown = run_cli(*arguments)
            assert shown.exit_code == 1
            assert "another process is setting up models" in shown.stderr
            assert "Waiting for another assistant process" in shown.stderr
        assert run_cli("rollback", "chat", "--dry-run").exit_code == 0, "looking needs no lock"
        holder.stdin.close()
    assert run_cli("rollback", "chat", "--yes").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "--help"], ["models", "list", "-h"], ["models", "show", "-h"],
        ["models", "history", "-h"], ["models", "check", "-h"], ["models", "remove", "-h"],
        ["rollback", "-h"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_has_help_and_an_example(arguments: list[str], run_cli: RunCli) -> None:
    shown = run_cli(*arguments)
    assert shown.exit_code == 0
    assert "Examples:\n    assistant " in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
