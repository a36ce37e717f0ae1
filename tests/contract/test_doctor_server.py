"""The doctor against a server that speaks Ollama's protocol, on computers of our choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.doctor.diagnose import diagnose
from assistant.doctor.observe import World, observe
from assistant.doctor.records import FasterModel, Finding, Observations
from assistant.errors import RegistryError
from assistant.machine.records import Machine
from assistant.models.names import ModelName
from assistant.models.registry import Layer, RegistryModel
from assistant.ollama.client import OllamaClient
from assistant.ollama.modelfile import create_request, parse_modelfile
from assistant.provision.ledger import with_entry, write_ledger
from assistant.provision.records import Ledger, LedgerEntry
from assistant.units import GIB
from tests.support.doctor_scenes import computer, gpu
from tests.support.fake_ollama import SMOLLM2, Fault, Gpu, OllamaServer, library_model
from tests.support.provisioned import set_up

CARD = Gpu(12 * GIB)
FREE = computer(gpu(12 * GIB, 0))
LIBRARY = (
    library_model("qwen3:8b"),
    library_model("qwen3:14b"),
    library_model("gemma3:4b"),
    library_model("qwen3:4b"),
)


def world(root: Path, server: OllamaServer, variables: Mapping[str, str] | None = None) -> World:
    """Return a computer whose /proc shows the server with these variables."""
    folder = root / "proc/812"
    folder.mkdir(parents=True)
    folder.joinpath("cmdline").write_bytes(b"/usr/local/bin/ollama\0serve\0")
    environ = {"OLLAMA_HOST": server.host, **(variables or {})}
    pairs = "\0".join(f"{name}={value}" for name, value in environ.items())
    folder.joinpath("environ").write_bytes(pairs.encode())
    return World(root, {"OLLAMA_HOST": server.host, "HOME": str(root / "home")}, "linux")


def now(machine: Machine, server: OllamaServer) -> Machine:
    """Return the machine as it is detected with what the server has in memory."""
    from tests.support.doctor_scenes import holding

    with OllamaClient(server.address) as client:
        return holding(machine, *client.loaded_models())


def look(root: Path, server: OllamaServer, **more: object) -> Observations:
    machine = more.pop("machine", None) or now(FREE, server)
    where = more.pop("world", None) or world(root, server, server.env)
    return observe(machine, world=where, **more)


def by_id(seen: Observations) -> dict[str, Finding]:
    return {found.id: found for found in diagnose(seen)}


def test_a_model_that_spills_is_explained_and_its_fix_holds(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:14b"], gpu=CARD) as server:
        server.load("qwen3:14b", 32768)
        found = by_id(look(tmp_path, server))["on-cpu"]
        assert found.term == "kv_cache"
        assert "qwen3:14b runs" in found.what
        num_ctx = int((found.fix or "").rpartition(" ")[2])
        assert found.fix == f"let the program that loads qwen3:14b ask for num_ctx {num_ctx}"
        server.load("qwen3:14b", num_ctx)
        with OllamaClient(server.address) as client:
            (loaded,) = client.loaded_models()
        assert loaded.vram_bytes == loaded.size_bytes


def test_a_context_of_the_modelfile_is_tuned(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:14b"], gpu=CARD) as server:
        create(server, "long", "FROM qwen3:14b\nPARAMETER num_ctx 32768\n")
        server.load("long")
        found = by_id(look(tmp_path, server))["on-cpu"]
        assert (found.term, found.fix) == (
            "kv_cache", "assistant tune long --num-ctx 12288 --apply",
        )  # fmt: skip
        assert "num_ctx 32768 comes from its Modelfile" in found.evidence


def create(server: OllamaServer, name: str, text: str) -> None:
    with OllamaClient(server.address) as client:
        assert list(client.create(create_request(parse_modelfile(text), name=name)))


def test_parallel_requests_are_read_from_the_running_server(tmp_path: Path) -> None:
    env = {"OLLAMA_NUM_PARALLEL": "4"}
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD, env=env) as server:
        server.load("qwen3:8b", 16384)
        seen = look(tmp_path, server)
        assert seen.environment.source == "process"
        assert by_id(seen)["on-cpu"].term == "parallel"


def test_another_model_on_the_gpu(tmp_path: Path) -> None:
    """Ollama's prediction, which leaves the buffers out, lets the second one in."""
    with OllamaServer(library=LIBRARY, installed=["qwen3:4b", "gemma3:4b"], gpu=CARD) as server:
        held = {"gemma3:4b": (7 * GIB, 7 * GIB), "qwen3:4b": (5 * GIB, 3 * GIB)}
        server.memory_of = lambda name, _ctx: held[name]
        server.load("gemma3:4b", 8192)
        server.load("qwen3:4b", 16384)
        found = by_id(look(tmp_path, server))["on-cpu"]
        assert found.term == "other_model"
        assert (found.fix or "").startswith("ollama stop gemma3:4b\nollama stop qwen3:4b")


def test_on_the_cpu_although_the_arithmetic_says_it_fits(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        server.vram_share = 0.0
        server.load("qwen3:8b", 8192)
        found = by_id(look(tmp_path, server, machine=FREE))["on-cpu"]
        assert (found.term, found.what) == ("gpu_not_seen", "qwen3:8b runs on the CPU")
        server.vram_share = 0.4
        server.unload("qwen3:8b")
        server.load("qwen3:8b", 8192)
        found = by_id(look(tmp_path / "b", server))["on-cpu"]
        assert found.term == "memory_was_taken"
        assert found.what == "qwen3:8b runs 60 % on the CPU"


def test_a_model_on_the_gpu_is_well(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        server.load("qwen3:8b", 8192)
        found = by_id(look(tmp_path, server))
        assert "on-cpu" not in found
        assert found["driver"].level == found["version"].level == "ok"
        assert found["context-short"].evidence[0].startswith("qwen3:8b: num_ctx 4096")


def test_num_gpu_of_a_modelfile(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        create(server, "half", "FROM qwen3:8b\nPARAMETER num_gpu 12\n")
        server.load("half")
        found = by_id(look(tmp_path, server))["on-cpu"]
        assert found.term == "num_gpu"
        assert "remove the line PARAMETER num_gpu" in (found.fix or "")


def test_a_recorded_model_is_described_exactly(tmp_path: Path) -> None:
    with OllamaServer(library=[SMOLLM2], installed=["smollm2:135m"]) as server:
        server.load("smollm2:135m", 2048)
        seen = look(tmp_path, server, machine=computer())
        model = seen.model("smollm2:135m")
        assert model is not None
        assert model.facts is not None
        assert model.facts.weights.exact
        assert (model.blob_digest or "").startswith("sha256:")
        assert by_id(seen)["placement"].what == "smollm2:135m on the CPU"


def test_a_faster_model_is_looked_for_only_where_a_model_is_on_the_cpu(tmp_path: Path) -> None:
    asked = []

    def suggest(machine: Machine) -> FasterModel | None:
        asked.append(machine)
        return FasterModel("llama3.2:1b", 50.0)

    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"]) as server:
        assert look(tmp_path / "a", server, machine=computer(), suggest=suggest).faster is None
        server.load("qwen3:8b", 4096)
        with_gpu = look(tmp_path / "b", server, suggest=suggest)
        assert (with_gpu.faster, asked) == (None, [])
        seen = look(tmp_path / "c", server, machine=computer(), suggest=suggest)
        assert (seen.faster, len(asked)) == (FasterModel("llama3.2:1b", 50.0), 1)
        found = by_id(seen)["on-cpu"]
        assert (found.level, found.fix) == (
            "warning", "assistant recommend --role chat --prefer speed",
        )  # fmt: skip
        assert (found.gain or "").startswith("llama3.2:1b, about ")


def test_the_registry_is_asked_about_the_base_of_a_named_alias(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        with OllamaClient(server.address) as client:
            set_up(client, "chat", "qwen3:8b", num_ctx=16384)
        moved = look(
            tmp_path, server, asked="assistant-chat",
            read_manifest=manifest(f"sha256:{'9' * 64}"),
        )  # fmt: skip
        assert by_id(moved)["upstream-moved"].level == "warning"


def test_what_the_server_has_and_the_ledger_does_not_know(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        create(server, "assistant-chat", "FROM qwen3:8b\nPARAMETER num_ctx 16384\n")
        with OllamaClient(server.address) as client:
            digests = {each.name: each.digest for each in client.installed_models()}
            blob = client.show("qwen3:8b").blob_digest
        entry = LedgerEntry(
            "assistant-chat", "qwen3:8b", 16384, "FROM qwen3:8b", "2026-11-20T10:00:00Z", "chat",
            digest=digests["qwen3:8b"], blob_digest=blob,
            alias_digest=digests["assistant-chat:latest"],
        )  # fmt: skip
        write_ledger(with_entry(Ledger(), entry))
        seen = look(tmp_path, server, read_manifest=manifest(blob))
        found = by_id(seen)
        assert found["setup"].level == "ok"
        assert found["context"].level == "ok", "its base alone has a short context"
        asked = by_id(look(tmp_path / "a", server, asked="qwen3:8b"))
        assert asked["context-short"].fix == (
            "point them at assistant-chat (16,384), or set OLLAMA_CONTEXT_LENGTH"
        )
        moved = look(tmp_path / "b", server, read_manifest=manifest(f"sha256:{'9' * 64}"))
        assert by_id(moved)["upstream-moved"].level == "warning"
        with OllamaClient(server.address) as client:
            client.delete("assistant-chat")
        assert by_id(look(tmp_path / "c", server))["alias-missing"].level == "problem"


def manifest(digest: str | None) -> object:
    """Return a registry in which every model has these weights."""

    def read(name: ModelName) -> RegistryModel:
        layers = (Layer("model", digest or "", 1),)
        return RegistryModel(name.render(), "sha256:m", 1, 0, 1, layers, model_digest=digest)

    return read


def test_a_registry_that_fails_or_hangs_costs_little_and_is_unknown(tmp_path: Path) -> None:
    import threading
    import time

    hung = threading.Event()

    def hang(_name: ModelName) -> RegistryModel:
        hung.wait(30)
        raise RegistryError("too late")

    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        started = time.monotonic()
        seen = look(tmp_path, server, read_manifest=hang, asked="qwen3:8b")
        took = time.monotonic() - started
        hung.set()
        assert took < 6
        assert by_id(seen)["upstream-unknown"].level == "unknown"


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/api/show"])
@pytest.mark.parametrize("fault", ["status", "html", "garbage", "cut"])
def test_a_server_that_fails_at_one_question_still_gets_an_answer(
    tmp_path: Path, path: str, fault: str
) -> None:
    faults = {
        "status": Fault.error(path, times=99),
        "html": Fault.html(path, times=99),
        "garbage": Fault.garbage(path, times=99),
        "cut": Fault.cut(path, times=99),
    }
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"], gpu=CARD) as server:
        server.load("qwen3:8b", 8192)
        machine = now(FREE, server)
        server.faults.add(faults[fault])
        seen = look(tmp_path, server, machine=machine)
        assert seen.server.reachable is True
        found = diagnose(seen)
        assert found
        if path != "/api/show":
            assert any(each.id == "gap" for each in found)


def test_a_killed_server_is_a_finding(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, installed=["qwen3:8b"]) as server:
        where = world(tmp_path, server)
        server.kill()
        seen = observe(FREE, world=where)
        assert diagnose(seen)[0].id == "no-server"


def test_an_old_server_is_a_problem(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, version="0.5.7") as server:
        assert by_id(look(tmp_path, server))["version-too-old"].level == "problem"


def test_poisoned_downloads_are_found_where_the_running_server_keeps_them(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, gpu=CARD) as server:
        blobs = tmp_path / "models/blobs"
        blobs.mkdir(parents=True)
        (blobs / f"sha256-{'a' * 64}-partial-0").touch()
        where = world(tmp_path, server, {"OLLAMA_MODELS": "/models"})
        found = by_id(look(tmp_path, server, world=where))
        assert found["download-broken"].level == "problem"


def test_the_shell_differs_from_the_server(tmp_path: Path) -> None:
    with OllamaServer(library=LIBRARY, gpu=CARD) as server:
        where = world(tmp_path, server)
        mine = replace(where, environ={**where.environ, "OLLAMA_KV_CACHE_TYPE": "q8_0"})
        found = by_id(look(tmp_path, server, world=mine))["shell-only"]
        assert found.evidence == (
            "OLLAMA_KV_CACHE_TYPE='q8_0' here; the running server does not have it",
        )
