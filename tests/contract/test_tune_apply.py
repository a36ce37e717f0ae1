"""Making a tuned variant: a kill at any call leaves a state from which a second run finishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.fit.model_facts import facts_from_show
from assistant.fit.records import RunOptions
from assistant.machine.parse import load_machine
from assistant.machine.records import Machine
from assistant.ollama.client import OllamaClient
from assistant.provision.ledger import read_ledger
from assistant.provision.tune_apply import Applied, Variant, already_made, apply_variant
from assistant.units import GIB
from tests.support.fake_ollama import Gpu, OllamaServer, library_model

QWEN = "qwen3:14b"
CANDIDATE = "assistant-tuned-qwen3-14b:next"
RTX_3060 = load_machine("RTX 3060 12GB, 32GB RAM")


class KilledError(BaseException):
    """The process ended here, as by SIGKILL: nothing that comes after it happens."""


class MortalClient(OllamaClient):
    """A client whose process dies before (or right after) its nth change of the server."""

    def __init__(self, server: OllamaServer, *, dies_at: int, after: bool) -> None:
        super().__init__(server.address)
        self.dies_at = dies_at
        self.after = after
        self.calls = 0
        self.dead = False

    def _live(self, call: Callable[[], Any]) -> Any:
        if self.dead:
            raise KilledError
        self.calls += 1
        last = self.calls == self.dies_at
        if last and not self.after:
            self.dead = True
            raise KilledError
        result = call()
        if last:
            self.dead = True
            raise KilledError
        return result

    def create(self, body: Any) -> Iterator[str]:
        yield from self._live(lambda: list(super(MortalClient, self).create(body)))

    def copy(self, source: str, destination: str) -> None:
        self._live(lambda: super(MortalClient, self).copy(source, destination))

    def delete(self, name: str) -> bool:
        return bool(self._live(lambda: super(MortalClient, self).delete(name)))

    def load(self, name: str, **options: Any) -> float:
        return float(self._live(lambda: super(MortalClient, self).load(name, **options)))

    def unload(self, name: str, **options: Any) -> None:
        self._live(lambda: super(MortalClient, self).unload(name, **options))


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    gpu = Gpu(12 * GIB, round(11.3 * GIB))
    with OllamaServer(library=[library_model(QWEN)], installed=[QWEN], gpu=gpu) as running:
        yield running


def variant(server: OllamaServer, *contexts: int, machine: Machine = RTX_3060) -> Variant:
    with OllamaClient(server.address) as client:
        shown = client.show(QWEN)
    return Variant(
        model=QWEN,
        facts=facts_from_show(shown),
        shown=shown,
        machine=machine,
        options=RunOptions(),
        contexts=contexts or (8192, 4096),
        why="as asked",
        name="mine",
    )


def make(client: OllamaClient, wanted: Variant, folder: Path) -> Applied:
    return apply_variant(client, wanted, now=lambda: "2026-11-27T10:00:00+00:00", folder=folder)


def names(server: OllamaServer) -> set[str]:
    return {manifest.name.render() for manifest in server.state.manifests.values()}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(1, 8))
def test_a_kill_anywhere_leaves_what_a_second_run_finishes(
    server: OllamaServer, tmp_path: Path, dies_at: int, after: bool
) -> None:
    wanted = variant(server)
    mortal = MortalClient(server, dies_at=dies_at, after=after)
    with mortal:
        try:
            make(mortal, wanted, tmp_path)
        except KilledError:
            pass
        else:
            assert mortal.calls < dies_at
    assert names(server) <= {QWEN, "mine:latest", CANDIDATE}
    ledger = read_ledger(tmp_path)
    if "mine:latest" in names(server):
        assert ledger.of_alias("mine") is not None
    with OllamaClient(server.address) as client:
        done = make(client, wanted, tmp_path)
    assert done.entry.num_ctx == 8192
    assert names(server) == {QWEN, "mine:latest"}
    entry = read_ledger(tmp_path).of_alias("mine")
    assert entry is not None
    assert entry.entry == done.entry


def test_another_context_replaces_the_variant_and_keeps_its_history(
    server: OllamaServer, tmp_path: Path
) -> None:
    with OllamaClient(server.address) as client:
        make(client, variant(server, 4096), tmp_path)
        done = make(client, variant(server, 8192), tmp_path)
        assert already_made(client, variant(server, 8192), folder=tmp_path) is not None
        assert already_made(client, variant(server, 4096), folder=tmp_path) is None
    history = read_ledger(tmp_path).of_alias("mine")
    assert history is not None
    assert [version.num_ctx for version in history.versions] == [4096, 8192]
    assert history.entry == done.entry
    manifest = server.manifest("mine")
    assert manifest is not None
    assert server.state.params_of(manifest)["num_ctx"] == 8192


def test_what_is_measured_on_this_machine_is_kept(server: OllamaServer, tmp_path: Path) -> None:
    from dataclasses import replace

    from assistant.machine.measured_runs import with_measured_runs

    here = replace(RTX_3060, source="detected")
    with OllamaClient(server.address) as client:
        make(client, variant(server, 8192, machine=RTX_3060), tmp_path)
        assert with_measured_runs(tmp_path, here).measured_runs == ()
        make(client, variant(server, 4096, machine=here), tmp_path)
    (run,) = with_measured_runs(tmp_path, here).measured_runs
    assert (run.model, run.num_ctx, run.verdict) == (QWEN, 4096, "gpu")
    assert run.measured_on == "2026-11-27"
    assert run.decode_tokens_per_s == pytest.approx(40, rel=0.1)
    assert run.expected_decode_tokens_per_s is not None


def test_ctrl_c_while_it_loads_removes_the_candidate(server: OllamaServer, tmp_path: Path) -> None:
    def interrupted(step: str) -> None:
        if step.startswith("loading"):
            raise KeyboardInterrupt

    with OllamaClient(server.address) as client, pytest.raises(KeyboardInterrupt):
        apply_variant(client, variant(server), now=str, folder=tmp_path, on_step=interrupted)
    assert names(server) == {QWEN}
    assert read_ledger(tmp_path).aliases == ()


def test_a_variant_that_somebody_changed_is_left_alone(
    server: OllamaServer, tmp_path: Path
) -> None:
    from assistant.provision.tune_apply import NameTakenError

    with OllamaClient(server.address) as client:
        make(client, variant(server, 4096), tmp_path)
        list(client.create({"model": "mine", "from": QWEN, "parameters": {"num_ctx": 2048}}))
        with pytest.raises(NameTakenError):
            make(client, variant(server, 8192), tmp_path)
    manifest = server.manifest("mine")
    assert manifest is not None
    assert server.state.params_of(manifest)["num_ctx"] == 2048
