"""`assistant setup` against the test server: what it makes, keeps and falls back to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import assistant.machine.detect
from assistant.machine.parse import load_machine
from assistant.ollama.client import OllamaClient
from assistant.provision.ledger import (
    ledger_folder,
    read_ledger,
    without_alias,
    write_ledger,
)
from assistant.provision.records import LedgerEntry
from assistant.units import GIB
from tests.support.fake_ollama import SMOLLM2, Fault, Gpu, LibraryModel, Manifest, library_model
from tests.support.setup_scene import MODEL, Requests, Scene, scene

QWEN = "qwen3:8b"
GEMMA = "gemma4:12b"
SMALLER = "gemma4:12b-it-qat"
FAST = ("--bandwidth", "1GB/s")
CHAT_QWEN = ("setup", "--yes", "--model", f"chat={QWEN}", *FAST)
CHAT_ANY = ("setup", "--yes", "--role", "chat", *FAST)
TWO = ("setup", "--yes", "--model", f"chat={MODEL}", "--model", "embeddings=all-minilm", *FAST)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    """A computer of which nothing is said: setup looks at the one that the test runs on."""
    with scene(tmp_path) as found:
        yield found


@pytest.fixture
def gpu_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A computer with an RTX 3060, in the eyes of both the server and the program."""
    machine = replace(load_machine("RTX 3060 12GB, 32GB RAM"), source="detected")
    monkeypatch.setattr(assistant.machine.detect, "detect_machine", lambda: machine)
    library = [SMOLLM2, *(library_model(name) for name in (QWEN, GEMMA, SMALLER, "all-minilm"))]
    with scene(tmp_path, library=library, gpu=Gpu(12 * GIB, round(11.3 * GIB))) as found:
        yield found


def entry_of(scene: Scene, role: str = "chat") -> LedgerEntry:
    entry = read_ledger(scene.data).current(role)
    assert entry is not None
    return entry


def alias_of(scene: Scene, name: str = "assistant-chat") -> Manifest:
    manifest = scene.server.manifest(name)
    assert manifest is not None
    return manifest


def test_a_setup_makes_what_the_plan_says(here: Scene) -> None:
    seen = here.setup()
    assert (seen.exit_code, seen.error) == (0, "")
    assert here.names() == ["assistant-chat:latest", MODEL]
    params = here.server.state.params_of(alias_of(here))
    assert params["num_ctx"] == 8192
    assert params["stop"] == ["<|im_start|>", "<|im_end|>"]
    assert "Answer briefly" in (here.server.state.text_of(alias_of(here), "system") or "")
    entry = entry_of(here)
    assert (entry.model, entry.num_ctx) == (MODEL, 8192)
    assert entry.alias_digest == alias_of(here).digest
    assert entry.blob_digest == SMOLLM2.weights.digest
    assert entry.quantization == SMOLLM2.quantization
    assert entry.measured is not None
    assert entry.measured.decode_tokens_per_s == pytest.approx(40, rel=0.05)
    written = here.data / "modelfiles" / "assistant-chat.Modelfile"
    assert written.read_text() == entry.modelfile
    assert "PARAMETER num_ctx 8192" in entry.modelfile
    assert "Undo: assistant rollback chat" in seen.stdout


def test_a_second_setup_changes_nothing(here: Scene) -> None:
    here.setup()
    before = (here.data / "ledger.json").read_bytes()
    here.server.requests.clear()
    seen = here.setup()
    assert seen.exit_code == 0
    assert seen.stdout.startswith("Everything is as planned.")
    assert [request[0] for request in here.server.requests] == ["GET"] * 3
    assert (here.data / "ledger.json").read_bytes() == before


def test_a_second_setup_is_over_in_under_a_second(here: Scene) -> None:
    here.setup()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = in_a_process(here)
        times.append(time.perf_counter() - began)
        assert done.stdout.startswith("Everything is as planned.")
    assert min(times) < 1


def in_a_process(scene: Scene, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assistant", *TWO[:4], *FAST, *more],
        env={**os.environ, **scene.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_data_is_what_the_contract_says(here: Scene) -> None:
    first = here.setup("--json").json
    assert (first["schema"], first["command"], first["status"]) == (1, "setup", "ok")
    steps = first["data"]["plan"]["steps"]
    assert [(s["id"], s["kind"], s["state"]) for s in steps] == [
        (f"pull:{MODEL}", "pull", "done"),
        ("create:chat", "create", "done"),
        ("verify:chat", "verify", "done"),
        ("activate:chat", "activate", "done"),
    ]
    assert all({"model", "bytes", "reason"} <= set(step) for step in steps)
    role = first["data"]["roles"]["chat"]
    assert (role["model"], role["alias"], role["num_ctx"]) == (MODEL, "assistant-chat", 8192)
    assert role["estimate"]["num_ctx"] == 8192
    assert role["measured"]["num_ctx"] == 8192
    assert role["measured"]["vram_bytes"] == 0
    again = here.setup("--json").json
    for name in ("model", "alias", "num_ctx", "modelfile", "estimate", "measured"):
        assert again["data"]["roles"]["chat"][name] == role[name]
    here.server.faults.add(Fault.error("/api/create"))
    failed = here.run(*TWO[:4], *FAST, "--num-ctx", "4096", "--json")
    assert (failed.exit_code, failed.json["status"]) == (5, "partial")
    states = [s["state"] for s in failed.json["data"]["plan"]["steps"]]
    assert states == ["done", "failed", "skipped", "skipped"]
    assert failed.json["data"]["plan"]["steps"][1]["error"] == failed.json["errors"][0]["message"]
    assert failed.json["errors"][0]["code"] == "ollama_refused"


@pytest.mark.parametrize("arguments", [TWO, ("setup",), ("setup", "--role", "code")])
def test_a_dry_run_changes_nothing(here: Scene, arguments: tuple[str, ...]) -> None:
    seen = here.run(*[a for a in arguments if a != "--yes"], "--dry-run")
    assert seen.exit_code == 0
    assert "Downloads" in seen.stdout
    assert here.changes() == []
    assert not here.data.exists()


def test_a_no_changes_nothing(here: Scene) -> None:
    arguments = [a for a in TWO if a != "--yes"]
    for answer in ("n\n", "\n"):
        seen = here.run(*arguments, answers=answer)
        assert seen.exit_code == 0
        assert seen.stderr.endswith("Nothing was changed.\n")
    assert here.changes() == []
    assert not (here.data / "ledger.json").exists()
    assert here.run(*arguments, answers="y\n").exit_code == 0
    assert here.num_ctx() == 8192


def test_nobody_to_ask_is_a_usage_error(here: Scene) -> None:
    seen = here.run(*[a for a in TWO if a != "--yes"])
    assert seen.exit_code == 2
    assert "nobody can answer here. Add --yes to agree beforehand" in seen.words
    assert here.changes() == []


def test_a_server_elsewhere_wants_its_machine_described(here: Scene) -> None:
    away = f"127.1:{here.server.port}"  # a loopback address that is not written as one
    found = replace(here, host=away)
    seen = found.run(*TWO)
    assert seen.exit_code == 2
    assert "looking at this computer would tell about the wrong one" in seen.words
    assert '--machine "RTX 4090, 64GB RAM"' in seen.words
    assert here.server.requests == []
    offline = found.run(*TWO, "--machine", "CPU only, 16GB RAM", "--offline")
    assert offline.exit_code == 2
    seen = found.run(*TWO, "--machine", "CPU only, 16GB RAM")
    assert seen.exit_code == 0
    assert f"The server is at http://{away}: everything happens there." in seen.words
    assert not (here.data / "measured-runs.json").exists()
    assert found.run(*TWO, "--machine", "CPU only, 16GB RAM").stdout.startswith("Everything is")


def test_a_described_machine_is_not_this_one(here: Scene) -> None:
    seen = here.run(*TWO, "--machine", "RTX 4090, 64GB RAM")
    assert seen.exit_code == 2
    assert "--machine describes another computer" in seen.words
    assert here.server.requests == []


def test_offline_takes_what_is_installed(here: Scene) -> None:
    seen = here.setup("--offline")
    assert seen.exit_code == 1
    assert f"{MODEL} must be downloaded, and --offline forbids it." in seen.words
    assert here.changes() == []
    here.server.install(MODEL)
    assert here.setup("--offline").exit_code == 0
    assert here.asked("/api/pull") == 0
    assert here.num_ctx() == 8192


def test_the_second_of_two_setups_waits_and_finds_all_in_place(here: Scene) -> None:
    here.server.bytes_per_s = SMOLLM2.weights.size / 1.5
    command = [sys.executable, "-m", "assistant", *TWO[:4], *FAST]
    environ = {**os.environ, **here.environ}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, env=environ, **pipes)
    until(lambda: here.asked("/api/pull") == 1)
    second = subprocess.Popen(command, env=environ, **pipes)
    first_out, _ = first.communicate(timeout=60)
    second_out, second_err = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "Done in" in first_out
    assert "Another assistant is setting up models; waiting for it." in second_err
    assert second_out.startswith("Everything is as planned.")
    assert here.asked("/api/pull") == 1


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_a_model_of_somebody_else_under_the_alias_is_kept(here: Scene) -> None:
    here.server.install("gemma3:270m")
    with OllamaClient(here.server.address) as client:
        client.copy("gemma3:270m", "assistant-chat")
    mine = alias_of(here).digest
    seen = here.setup()
    kept = "assistant-chat:before-setup"
    assert f"The assistant-chat that was there before is kept as {kept}." in " ".join(
        seen.stdout.split()
    )
    assert alias_of(here, kept).digest == mine
    history = read_ledger(here.data).of_alias("assistant-chat")
    assert history is not None
    assert history.backup == kept
    assert here.num_ctx() == 8192


def test_a_model_put_there_after_the_alias_was_removed_is_kept_too(here: Scene) -> None:
    here.setup()
    write_ledger(without_alias(read_ledger(here.data), "assistant-chat"), here.data)
    here.server.install("gemma3:270m")
    with OllamaClient(here.server.address) as client:
        client.copy("gemma3:270m", "assistant-chat")
    mine = alias_of(here).digest
    assert here.setup().exit_code == 0
    assert alias_of(here, "assistant-chat:before-setup").digest == mine


def test_an_alias_that_was_changed_by_hand_is_kept_before_it_is_mended(here: Scene) -> None:
    here.setup()
    with OllamaClient(here.server.address) as client:
        list(client.create({"model": "assistant-chat", "from": MODEL, "system": "Sing."}))
    mine, ours = alias_of(here).digest, entry_of(here).alias_digest
    assert here.setup().exit_code == 0
    assert alias_of(here).digest == ours
    assert alias_of(here, "assistant-chat:before-setup").digest == mine


def test_a_second_stranger_does_not_replace_the_first_one_kept(here: Scene) -> None:
    here.server.install("gemma3:270m")
    here.server.install("all-minilm")
    for stranger in ("gemma3:270m", "all-minilm"):
        with OllamaClient(here.server.address) as client:
            client.copy(stranger, "assistant-chat")
        assert here.setup().exit_code == 0
    kept = ["assistant-chat:before-setup", "assistant-chat:before-setup-2"]
    assert [alias_of(here, name).digest for name in kept] == [
        alias_of(here, name).digest for name in ("gemma3:270m", "all-minilm")
    ]


def test_a_lost_ledger_does_not_make_our_own_model_a_strangers(here: Scene) -> None:
    here.setup()
    for path in here.data.glob("ledger*"):
        path.unlink()
    assert here.setup().exit_code == 0
    assert here.names() == ["assistant-chat:latest", MODEL]


def test_another_model_leaves_the_old_version_to_go_back_to(here: Scene) -> None:
    here.setup()
    old = entry_of(here)
    assert here.run("setup", "--yes", "--model", "chat=gemma3:270m", *FAST).exit_code == 0
    history = read_ledger(here.data).of_alias("assistant-chat")
    assert history is not None
    assert history.entry == entry_of(here)
    assert history.entry.model == "gemma3:270m"
    assert history.before == old
    assert (
        alias_of(here).weights.quantization
        == here.server.library[
            next(key for key in here.server.library if "gemma3" in key)
        ].quantization
    )


def test_the_alias_never_names_what_was_not_seen_to_work(here: Scene) -> None:
    here.setup()
    old = alias_of(here).digest
    seen_then: list[tuple[str, str]] = []

    def look(path: str, _count: int) -> None:
        seen_then.append((path, alias_of(here).digest))

    here.server.requests = Requests(look)
    here.server.faults.add(Fault.runner_killed("/api/chat"))
    assert here.run("setup", "--yes", "--model", "chat=gemma3:270m", *FAST).exit_code == 5
    assert alias_of(here).digest == old
    assert here.run("setup", "--yes", "--model", "chat=gemma3:270m", *FAST).exit_code == 0
    copied = next(i for i, (path, _) in enumerate(seen_then) if path == "/api/copy")
    assert {digest for _, digest in seen_then[: copied + 1]} == {old}
    assert {digest for _, digest in seen_then[copied + 1 :]} == {entry_of(here).alias_digest}
    assert [path for path, _ in seen_then[:copied]].count("/api/chat") >= 2


def test_a_candidate_left_behind_is_removed_by_a_run_that_has_nothing_to_do(here: Scene) -> None:
    here.server.faults.add(Fault.error("/api/delete", times=2))
    assert here.setup().exit_code == 0
    assert "assistant-chat:next" in here.names()
    assert here.setup().stdout.startswith("Everything is as planned.")
    assert here.names() == ["assistant-chat:latest", MODEL]


def test_on_a_gpu_the_longest_context_that_stays_there(gpu_here: Scene) -> None:
    seen = gpu_here.run(*CHAT_QWEN)
    assert seen.exit_code == 0
    assert "verified: 100% GPU" in seen.stderr
    assert gpu_here.num_ctx() == 32768
    measured = entry_of(gpu_here).measured
    assert measured is not None
    assert measured.gpu_share == 1
    assert measured.called_tool


def test_what_was_measured_is_known_to_fit(gpu_here: Scene) -> None:
    gpu_here.server.decode_tokens_per_s = 52.0
    gpu_here.run(*CHAT_QWEN)
    speed = gpu_here.run("fit", QWEN, "--json").json["data"]["estimates"][0]["speed"]
    assert speed["decode_tokens_per_s"]["expected"] == pytest.approx(52, rel=0.05)
    assert speed["basis"].startswith("measured on this machine")


def spill(scene: Scene, *, above: int, models: tuple[LibraryModel, ...] = ()) -> None:
    """Let a tenth land on the CPU above a context, or at any context for some files."""
    sizes = {model.weights.size for model in models}

    def memory(name: str, num_ctx: int) -> tuple[int, int]:
        size = 8 * GIB
        spills = num_ctx > above or alias_of(scene, name).weights.size in sizes
        return size, size * 9 // 10 if spills else size

    scene.server.memory_of = memory


def test_what_lands_on_the_cpu_is_tried_with_less_context(gpu_here: Scene) -> None:
    spill(gpu_here, above=16384)
    seen = gpu_here.run(*CHAT_QWEN)
    assert seen.exit_code == 0
    assert (
        f"10 % of {QWEN} with 32k of context is on the CPU, against the estimate; trying 24k"
        in seen.words
    )
    assert f"{QWEN} with 24k of context is on the CPU" in seen.words
    assert "is on the CPU, against" not in seen.stdout  # said once, as it happened
    assert gpu_here.num_ctx() == entry_of(gpu_here).num_ctx == 16384
    assert gpu_here.names() == ["assistant-chat:latest", QWEN]
    assert gpu_here.run(*CHAT_QWEN).stdout.startswith("Everything is as planned.")


def test_what_does_not_load_is_tried_with_less_context(gpu_here: Scene) -> None:
    gpu_here.server.faults.add(Fault.load_failure(min_num_ctx=12000, times=None))
    seen = gpu_here.run(*CHAT_QWEN)
    assert seen.exit_code == 0
    assert f"{QWEN} with 32k of context does not load; trying 24k" in seen.words
    assert gpu_here.num_ctx() == entry_of(gpu_here).num_ctx == 8192
    assert gpu_here.run(*CHAT_QWEN).stdout.startswith("Everything is as planned.")


def test_after_the_contexts_comes_a_smaller_file(gpu_here: Scene) -> None:
    spill(gpu_here, above=10**6, models=(library_model(GEMMA),))
    seen = gpu_here.run(*CHAT_ANY)
    assert seen.exit_code == 0
    assert f"trying {SMALLER}" in seen.words
    entry = entry_of(gpu_here)
    assert entry.model == SMALLER
    assert alias_of(gpu_here).weights.digest == library_model(SMALLER).weights.digest
    assert gpu_here.num_ctx() == entry.num_ctx
    assert "assistant-chat:next" not in gpu_here.names()
    assert gpu_here.run(*CHAT_ANY).stdout.startswith("Everything is as planned.")
    assert gpu_here.asked("/api/pull") == 2


def test_when_nothing_smaller_is_left_it_is_kept_and_told(gpu_here: Scene) -> None:
    spill(gpu_here, above=0)
    seen = gpu_here.run(*CHAT_ANY)
    assert seen.exit_code == 0
    assert f"nothing smaller is left to try: {GEMMA} with 32k is kept" in seen.words
    entry = entry_of(gpu_here)
    assert (entry.model, entry.num_ctx) == (GEMMA, 32768)  # less changed nothing
    assert gpu_here.num_ctx() == 32768
    assert entry.measured is not None
    assert entry.measured.gpu_share == pytest.approx(0.9)
    assert not (gpu_here.data / "measured-runs.json").exists()
    assert gpu_here.run(*CHAT_ANY).stdout.startswith("Everything is as planned.")


def test_when_nothing_smaller_loads_it_fails_and_leaves_no_candidate(gpu_here: Scene) -> None:
    gpu_here.server.faults.add(Fault.load_failure(times=None))
    seen = gpu_here.run(*CHAT_ANY)
    assert seen.exit_code == 5
    assert seen.error == (
        f"the Ollama server has not enough memory to load '{SMALLER}'. See what fits: "
        f"assistant fit {SMALLER}"
    )
    assert gpu_here.names() == [GEMMA, SMALLER]
    pending = read_ledger(gpu_here.data).pending
    assert pending is not None
    assert [target.model for target in pending.targets] == [SMALLER]
    gpu_here.server.faults.clear()
    assert gpu_here.run(*CHAT_ANY).exit_code == 0


def test_a_model_that_was_named_is_not_replaced_by_another_file(gpu_here: Scene) -> None:
    spill(gpu_here, above=0)
    command = ("setup", "--yes", "--model", f"chat={GEMMA}", *FAST)
    assert gpu_here.run(*command).exit_code == 0
    assert entry_of(gpu_here).model == GEMMA
    assert gpu_here.run(*command).stdout.startswith("Everything is as planned.")


def test_a_context_that_was_asked_for_is_kept(gpu_here: Scene) -> None:
    spill(gpu_here, above=0)
    seen = gpu_here.run(*CHAT_QWEN, "--num-ctx", "16k")
    assert seen.exit_code == 0
    assert f"{QWEN} with 16k is kept" in seen.words
    assert gpu_here.num_ctx() == 16384
    assert gpu_here.run(*CHAT_QWEN, "--num-ctx", "16k").stdout.startswith("Everything is as")


def test_a_smaller_choice_outlives_the_failure_of_another_role(gpu_here: Scene) -> None:
    spill(gpu_here, above=16384)
    gpu_here.server.faults.add(Fault.error("/api/create", model="assistant-embeddings:next"))
    command = ("setup", "--yes", "--model", f"chat={QWEN}", "--model", "embeddings=all-minilm")
    seen = gpu_here.run(*command, *FAST)
    assert seen.exit_code == 5
    assert "ready as assistant-chat" in seen.stderr
    assert gpu_here.num_ctx() == 16384
    gpu_here.server.requests.clear()
    assert gpu_here.run(*command, *FAST).exit_code == 0
    assert gpu_here.num_ctx() == 16384
    created = [r[2]["model"] for r in gpu_here.server.requests if r[1] == "/api/create"]
    assert created == ["assistant-embeddings:next"]


def test_in_the_end_all_are_loaded_side_by_side(here: Scene) -> None:
    seen = here.run(*TWO)
    assert seen.exit_code == 0
    loaded = {runner.listed_name for runner in here.server.runners.loaded()}
    assert loaded == {"assistant-chat:latest", "assistant-embeddings:latest"}
    assert "are loaded side by side now: " in " ".join(seen.stdout.split())


def test_what_does_not_stay_loaded_is_told(here: Scene) -> None:
    here.server.env["OLLAMA_MAX_LOADED_MODELS"] = "1"
    seen = here.run(*TWO)
    assert seen.exit_code == 0
    assert "did not stay loaded beside the others: they take turns." in " ".join(
        seen.stdout.split()
    )


def test_the_end_is_kept_when_the_last_look_fails(here: Scene) -> None:
    def fail_at_the_end(path: str, _count: int) -> None:
        if path == "/api/copy" and here.asked("/api/copy") == 2:
            here.server.faults.add(Fault.busy("/api/generate", times=None))

    here.server.requests = Requests(fail_at_the_end)
    seen = here.run(*TWO)
    assert seen.exit_code == 0
    assert "Whether all of them stay loaded could not be seen" in " ".join(seen.stdout.split())


def test_one_role_that_fails_does_not_keep_the_other_from_being_set_up(here: Scene) -> None:
    here.server.faults.add(Fault.missing_model(model=MODEL))
    seen = here.run(*TWO)
    assert seen.exit_code == 5
    assert seen.error.startswith(f"the registry has no model '{MODEL}'.")
    assert here.names() == ["all-minilm:latest", "assistant-embeddings:latest"]
    assert entry_of(here, "embeddings").measured is not None


def test_a_full_disk_ends_it_for_all(here: Scene) -> None:
    here.server.faults.add(Fault.disk_full(model=MODEL, after_lines=4))
    assert here.run(*TWO).exit_code == 3
    assert here.asked("/api/pull") == 1


def test_an_embedding_model_is_not_loaded_only_to_be_unloaded(here: Scene) -> None:
    assert here.run(*TWO[:2], *TWO[4:]).exit_code == 0
    inputs = [r[2].get("input") for r in here.server.requests if r[1] == "/api/embed"]
    assert "unload" not in inputs
    measured = entry_of(here, "embeddings").measured
    assert measured is not None
    assert measured.dimension == 384


OLLAMA = """#!{python}
import os, sys, time
sys.path.insert(0, {root!r})
from tests.support.fake_ollama import SMOLLM2, OllamaServer

assert sys.argv[1:] == ["serve"]
port = int(os.environ["OLLAMA_HOST"].rpartition(":")[2])
with OllamaServer(library=[SMOLLM2], port=port):
    time.sleep(60)
"""


def test_a_server_is_started_only_when_that_is_asked_for(
    here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    root = str(Path(__file__).parents[2])
    program.write_text(OLLAMA.format(python=sys.executable, root=root))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    here.server.stop()
    seen = here.setup()
    assert seen.exit_code == 3
    assert "(connection refused). Start it with: ollama serve" in seen.words
    dry = here.run(*[a for a in TWO if a != "--yes"], "--dry-run")
    assert dry.exit_code == 0
    assert f"No Ollama server answers at {here.server.address.url}" in " ".join(dry.stdout.split())
    seen = here.setup("--start-server")
    started = re.search(r"Started 'ollama serve' \(process (\d+)\)", seen.stderr)
    assert started is not None
    try:
        assert (seen.exit_code, seen.error) == (0, "")
        with OllamaClient(here.server.address) as client:
            assert {model.name for model in client.installed_models()} == {
                "assistant-chat:latest",
                MODEL,
            }
    finally:
        os.kill(int(started[1]), signal.SIGKILL)
        os.waitpid(int(started[1]), 0)


def test_of_several_tries_the_one_with_most_on_the_gpu_is_kept(gpu_here: Scene) -> None:
    def memory(_name: str, num_ctx: int) -> tuple[int, int]:
        return 8 * GIB, 8 * GIB * (7 if num_ctx > 8192 else 8 if num_ctx > 4096 else 6) // 9

    gpu_here.server.memory_of = memory
    seen = gpu_here.run(*CHAT_QWEN)
    assert seen.exit_code == 0
    assert f"{QWEN} with 8k is kept" in seen.words
    assert gpu_here.num_ctx() == entry_of(gpu_here).num_ctx == 8192
    assert "assistant-chat:next" not in gpu_here.names()


def test_where_nothing_is_on_the_gpu_less_is_not_tried(gpu_here: Scene) -> None:
    gpu_here.server.vram_share = 0.0
    seen = gpu_here.run(*CHAT_QWEN, "--json")
    assert seen.exit_code == 0
    assert seen.stderr.count("verifying") == 1
    (told,) = seen.json["data"]["told"]
    assert "runs on the CPU altogether" in told
    assert "assistant doctor" in told
    assert gpu_here.num_ctx() == 32768


def test_another_context_keeps_the_model(here: Scene) -> None:
    assert here.setup().exit_code == 0
    seen = here.run("setup", "--yes", "--role", "chat", "--num-ctx", "2k", *FAST)
    assert seen.exit_code == 0
    entry = entry_of(here)
    assert (entry.model, entry.num_ctx) == (MODEL, 2048)


def test_what_fits_nowhere_is_not_downloaded(gpu_here: Scene) -> None:
    seen = gpu_here.run("setup", "--yes", "--model", "chat=llama3.1:405b", *FAST)
    assert seen.exit_code == 4
    assert "llama3.1:405b needs" in seen.error
    assert not gpu_here.asked("/api/pull")


def test_what_setup_makes_is_no_model_to_make_it_from(here: Scene) -> None:
    here.setup()
    seen = here.run("setup", "--yes", "--model", "chat=assistant-chat", *FAST)
    assert seen.exit_code == 2
    assert "made by this program from another model" in seen.error


def test_the_plan_says_that_a_strangers_model_is_put_aside(here: Scene) -> None:
    here.server.install(MODEL)
    with OllamaClient(here.server.address) as client:
        client.copy(MODEL, "assistant-chat")
    seen = here.run("setup", "--dry-run", "--model", f"chat={MODEL}")
    assert "is not from this program; it is kept as assistant-chat:before-setup" in " ".join(
        seen.stdout.split()
    )


def test_an_unfinished_setup_is_named_in_the_plan(here: Scene) -> None:
    here.server.faults.add(Fault.error("/api/create"))
    assert here.setup().exit_code == 5
    seen = here.run("setup", "--dry-run", "--role", "chat")
    said = " ".join(seen.stdout.split())
    assert f"Goes on with a setup that did not end: chat with {MODEL}. Others: --anew." in said


def test_a_server_elsewhere_has_a_ledger_of_its_own(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here.setup().exit_code == 0
    monkeypatch.setenv("ASSISTANT_HOME", str(here.data.parent))
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:11434")
    assert ledger_folder() == here.data / "servers" / "gpu-box_11434"
    assert read_ledger().current("chat") is None
    monkeypatch.setenv("OLLAMA_HOST", here.server.host)
    assert ledger_folder() == here.data
    assert read_ledger().current("chat") is not None
