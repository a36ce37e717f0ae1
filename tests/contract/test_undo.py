"""Rollback and removal on a server: what stands afterwards, also after a kill anywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import AssistantError, OllamaError, UnknownModelError
from assistant.ollama.client import OllamaClient
from assistant.ollama.modelfile import Modelfile
from assistant.paths import data_folder
from assistant.provision import removal as removal_module
from assistant.provision import undo as undo_module
from assistant.provision.drift import installed_as
from assistant.provision.inventory import find_target
from assistant.provision.ledger import read_ledger, write_ledger
from assistant.provision.records import AliasHistory, Ledger
from assistant.provision.removal import Removal, plan_removal, remove
from assistant.provision.undo import (
    CannotRollBackError,
    Rollback,
    plan_rollback,
    possible_rollbacks,
    roll_back,
    undoing,
)
from tests.support.fake_ollama import GEMMA3_270M, SMOLLM2, Fault, OllamaServer
from tests.support.provisioned import set_up

BASE, OTHER = "smollm2:135m", "gemma3:270m"
ALIAS = "assistant-chat"


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(library=[SMOLLM2, GEMMA3_270M], installed=[BASE, OTHER]) as running:
        yield running


@pytest.fixture
def client(server: OllamaServer) -> Iterator[OllamaClient]:
    with OllamaClient(server.address) as made:
        yield made


def history() -> AliasHistory:
    found = read_ledger().of_role("chat")
    assert found is not None
    return found


def plan(client: OllamaClient) -> Rollback:
    return plan_rollback(client, read_ledger(), history())


def names(server: OllamaServer) -> set[str]:
    return {manifest.name.render() for manifest in server.state.manifests.values()}


def digest(server: OllamaServer, name: str = ALIAS) -> str | None:
    manifest = server.manifest(name)
    return None if manifest is None else manifest.digest


def num_ctx(server: OllamaServer, name: str = ALIAS) -> int:
    manifest = server.manifest(name)
    assert manifest is not None
    return int(server.state.params_of(manifest)["num_ctx"])


def test_a_rollback_makes_the_version_before_again(
    server: OllamaServer, client: OllamaClient
) -> None:
    first = set_up(client, "chat", BASE, num_ctx=2048)
    second = set_up(client, "chat", OTHER, num_ctx=4096, at="2026-11-21")
    planned = plan(client)
    assert (planned.kind, planned.now, planned.then) == ("version", second, first)
    assert planned.source == BASE
    assert not planned.changed_outside
    steps: list[str] = []
    assert roll_back(client, planned, on_step=steps.append) == first
    assert steps == [f"creating {ALIAS} from {BASE}"]
    assert digest(server) == first.alias_digest
    assert names(server) == {BASE, OTHER, f"{ALIAS}:latest"}
    assert history().entry == first
    assert [version.model for version in history().versions] == [BASE, OTHER]


def test_the_chain_ends_where_there_was_nothing(server: OllamaServer, client: OllamaClient) -> None:
    for context in (2048, 4096, 8192):
        set_up(client, "chat", BASE, num_ctx=context)
    for context in (4096, 2048):
        roll_back(client, plan(client))
        assert num_ctx(server) == context
    assert plan(client).kind == "remove"
    roll_back(client, plan(client))
    assert names(server) == {BASE, OTHER}
    assert history().entry is None
    with pytest.raises(UnknownModelError, match="nothing to roll back") as caught:
        plan(client)
    assert caught.value.hint == "Set it up again with: assistant setup --role chat"
    assert possible_rollbacks(read_ledger()) == ()


def test_a_model_from_before_setup_comes_back(server: OllamaServer, client: OllamaClient) -> None:
    client.copy(OTHER, ALIAS)
    mine = digest(server)
    set_up(client, "chat", BASE)
    assert f"{ALIAS}:before-setup" in names(server)
    set_up(client, "chat", BASE, num_ctx=4096)
    roll_back(client, plan(client))
    assert plan(client).kind == "backup"
    roll_back(client, plan(client))
    assert digest(server) == mine
    assert names(server) == {BASE, OTHER, f"{ALIAS}:latest"}
    assert (history().entry, history().backup) == (None, None)


def test_a_tuned_variant_has_a_tag_of_its_own(server: OllamaServer, client: OllamaClient) -> None:
    name = "assistant-tuned-smollm2-135m:4k"
    first = set_up(client, "", BASE, num_ctx=4096, alias=name)
    set_up(client, "", OTHER, num_ctx=4096, alias=name)
    found = read_ledger().of_alias(name)
    assert found is not None
    planned = plan_rollback(client, read_ledger(), found)
    assert planned.candidate == "assistant-tuned-smollm2-135m:next"
    roll_back(client, planned)
    assert digest(server, name) == first.alias_digest
    assert names(server) == {BASE, OTHER, name}
    assert undoing(planned) == f"assistant tune {OTHER} --num-ctx 4096 --apply --name {name}"
    assert removal_of(client, name).names == (name,)


def test_how_to_undo_a_rollback(client: OllamaClient) -> None:
    set_up(client, "chat", BASE, num_ctx=2048)
    set_up(client, "chat", BASE, num_ctx=4096)
    again = f"assistant setup --role chat --model chat={BASE}"
    assert undoing(plan(client)) == f"{again} --num-ctx 4096"
    roll_back(client, plan(client))
    assert undoing(plan(client)) == again


def test_a_backup_that_somebody_removed_changes_nothing(
    server: OllamaServer, client: OllamaClient
) -> None:
    client.copy(OTHER, ALIAS)
    entry = set_up(client, "chat", BASE)
    client.delete(f"{ALIAS}:before-setup")
    with pytest.raises(CannotRollBackError, match="Nothing was changed"):
        plan(client)
    assert digest(server) == entry.alias_digest
    assert history().entry == entry


def test_without_its_base_a_version_is_not_made(server: OllamaServer, client: OllamaClient) -> None:
    set_up(client, "chat", BASE)
    second = set_up(client, "chat", OTHER)
    client.delete(BASE)
    before = names(server)
    with pytest.raises(CannotRollBackError, match="no longer on the server") as caught:
        plan(client)
    assert f"ollama pull {BASE}" in (caught.value.hint or "")
    assert "assistant rollback chat" in (caught.value.hint or "")
    assert (names(server), history().entry) == (before, second)
    server.install(BASE)
    roll_back(client, plan(client))
    assert history().entry is not None


def test_a_copy_of_the_base_under_another_name_will_do(
    server: OllamaServer, client: OllamaClient
) -> None:
    first = set_up(client, "chat", BASE)
    set_up(client, "chat", OTHER)
    client.copy(BASE, "mine:1")
    client.delete(BASE)
    assert plan(client).source == "mine:1"
    roll_back(client, plan(client))
    assert digest(server) == first.alias_digest


def test_a_base_that_was_pulled_anew_is_not_what_the_version_was(
    server: OllamaServer, client: OllamaClient
) -> None:
    set_up(client, "chat", BASE)
    set_up(client, "chat", OTHER)
    server.publish(SMOLLM2.moved())
    list(client.pull(BASE))
    with pytest.raises(CannotRollBackError, match="another file") as caught:
        plan(client)
    again = f"assistant setup --role chat --model chat={BASE}"
    assert caught.value.hint == f"Set it up again with: {again}"


def test_the_alias_itself_has_the_file_when_only_settings_changed(
    server: OllamaServer, client: OllamaClient
) -> None:
    first = set_up(client, "chat", BASE, num_ctx=2048)
    set_up(client, "chat", BASE, num_ctx=4096)
    client.delete(BASE)
    assert plan(client).source == f"{ALIAS}:latest"
    roll_back(client, plan(client))
    assert digest(server) == first.alias_digest


def test_a_setting_that_would_be_inherited_is_not_accepted(
    server: OllamaServer, client: OllamaClient
) -> None:
    set_up(client, "chat", BASE, system=None)
    set_up(client, "chat", BASE, system="Answer in rhymes.")
    client.delete(BASE)
    with pytest.raises(CannotRollBackError):
        plan(client)


@pytest.mark.parametrize(
    ("changes", "exact"),
    [
        ({}, True),
        ({"parameters": (("num_ctx", "1"),)}, True),
        ({"parameters": (("stop", "x"),)}, False),
        ({"system": "Other."}, True),
        ({"template": "{{ .Prompt }}"}, False),
        ({"renderer": "qwen"}, False),
        ({"parser": "qwen"}, False),
        ({"adapters": ("./lora.gguf",)}, False),
        ({"messages": (("user", "Hello"),)}, False),
    ],
)
def test_which_settings_an_alias_would_hand_down(changes: dict[str, Any], exact: bool) -> None:
    new = Modelfile(BASE, (("num_ctx", "2048"), ("top_k", "20")), system="Be brief.")
    assert undo_module._replaces(new, replace(Modelfile(BASE), **changes)) is exact


def test_a_change_from_outside_is_seen(server: OllamaServer, client: OllamaClient) -> None:
    first = set_up(client, "chat", BASE)
    set_up(client, "chat", BASE, num_ctx=4096)
    client.copy(OTHER, ALIAS)
    assert plan(client).changed_outside
    roll_back(client, plan(client))
    assert digest(server) == first.alias_digest


class KilledError(BaseException):
    """The process ends here."""


CHANGES = ("create", "copy", "delete")


class DyingClient(OllamaClient):
    """Ends before, or after, its n-th change of the server; a creation may end in its middle."""

    left = 10**6
    after = False
    watch: Callable[[], None] = staticmethod(lambda: None)

    def create(self, body: Any) -> Iterator[str]:
        self._step(after=False)
        for status in super().create(body):
            yield status
            self.watch()
        self._step(after=True)

    def copy(self, source: str, destination: str) -> None:
        self._step(after=False)
        super().copy(source, destination)
        self._step(after=True)

    def delete(self, name: str) -> bool:
        self._step(after=False)
        found = super().delete(name)
        self._step(after=True)
        return found

    def _step(self, *, after: bool) -> None:
        self.watch()
        if after == self.after:
            self.left -= 1
            if self.left < 0:
                raise KilledError


def killed_everywhere(
    server: OllamaServer,
    prepare: Callable[[OllamaClient], None],
    act: Callable[[OllamaClient], None],
    check: Callable[[], None],
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Run `act` with a kill at each boundary, and again without one; `check` must hold then.

    Returns how many kills there were.
    """
    kills = 0
    for where in ("server", "ledger"):
        for after in (False, True):
            step = 0
            while killed(server, prepare, act, watch, where=where, step=step, after=after):
                with OllamaClient(server.address) as client:
                    if not finished(check):
                        act(client)
                check()
                step += 1
            check()
            kills += step
    return kills


def killed(
    server: OllamaServer,
    prepare: Callable[[OllamaClient], None],
    act: Callable[[OllamaClient], None],
    watch: Callable[[], None],
    *,
    where: str,
    step: int,
    after: bool,
) -> bool:
    """Run `act` once, to be killed at one step; return whether it came that far."""
    clean(server)
    with OllamaClient(server.address) as client:
        prepare(client)
    left = step

    def write(ledger: Ledger, folder: Path | None = None) -> None:
        nonlocal left
        left -= 1
        if left < 0 and not after:
            raise KilledError
        write_ledger(ledger, folder)
        if left < 0:
            raise KilledError

    with DyingClient(server.address) as client, pytest.MonkeyPatch.context() as patch:
        client.watch = watch  # type: ignore[method-assign]
        client.after = after
        if where == "server":
            client.left = step
        else:
            for module in (undo_module, removal_module):
                patch.setattr(module, "write_ledger", write)
        try:
            act(client)
        except KilledError:
            return True
    return False


def finished(check: Callable[[], None]) -> bool:
    """True when the kill came after all was done: a person sees that and types nothing."""
    try:
        check()
    except AssertionError:
        return False
    return True


def clean(server: OllamaServer) -> None:
    """The server as at the start, and no ledger."""
    for key in list(server.state.manifests):
        server.state.remove(key)
    for name in (BASE, OTHER):
        server.install(name)
    for path in data_folder().glob("ledger*"):
        path.unlink()


def test_the_kills_of_these_tests_cover_every_change() -> None:
    public = {name for name, _ in inspect.getmembers(OllamaClient, inspect.isfunction)}
    assert set(CHANGES) <= public
    source = inspect.getsource(undo_module) + inspect.getsource(removal_module)
    used = {name for name in public if f"client.{name}(" in source}
    assert used <= {*CHANGES, "installed_models", "loaded_models", "show"}


def test_a_rollback_killed_anywhere_is_finished_by_the_same_command(
    server: OllamaServer,
) -> None:
    wanted: list[str | None] = []

    def prepare(client: OllamaClient) -> None:
        wanted[:] = [set_up(client, "chat", BASE).alias_digest]
        set_up(client, "chat", OTHER, num_ctx=4096)

    def check() -> None:
        assert digest(server) == wanted[0]
        assert history().current == 0
        assert names(server) == {BASE, OTHER, f"{ALIAS}:latest"}

    def never_missing() -> None:
        assert server.manifest(ALIAS) is not None

    kills = killed_everywhere(
        server, prepare, lambda c: void(roll_back(c, plan(c))), check, never_missing
    )
    assert kills >= 10


def test_a_rollback_from_the_alias_itself_survives_kills_too(
    server: OllamaServer,
) -> None:
    def prepare(client: OllamaClient) -> None:
        set_up(client, "chat", BASE, num_ctx=2048)
        set_up(client, "chat", BASE, num_ctx=4096)
        ledger = read_ledger()
        old = ledger.aliases[0]
        forgotten = replace(old.versions[0], alias_digest="f" * 64)
        changed = replace(old, versions=(forgotten, *old.versions[1:]))
        write_ledger(replace(ledger, aliases=(changed,)))
        client.delete(BASE)

    def check() -> None:
        assert num_ctx(server) == 2048
        assert history().current == 0
        assert names(server) == {OTHER, f"{ALIAS}:latest"}

    kills = killed_everywhere(server, prepare, lambda c: void(roll_back(c, plan(c))), check)
    assert kills >= 8


def test_bringing_back_what_was_before_survives_kills(
    server: OllamaServer,
) -> None:
    mine: list[str | None] = []

    def prepare(client: OllamaClient) -> None:
        client.copy(OTHER, ALIAS)
        mine[:] = [digest(server)]
        set_up(client, "chat", BASE)

    def check() -> None:
        assert digest(server) == mine[0]
        assert (history().current, history().backup) == (None, None)
        assert names(server) == {BASE, OTHER, f"{ALIAS}:latest"}

    kills = killed_everywhere(server, prepare, lambda c: void(roll_back(c, plan(c))), check)
    assert kills >= 8


def test_a_removal_survives_kills(server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(client: OllamaClient) -> None:
        set_up(client, "chat", BASE)

    def act(client: OllamaClient) -> None:
        remove(client, removal_of(client, "chat", with_base=True))

    def check() -> None:
        assert names(server) <= {BASE, OTHER}
        assert history().current is None

    assert killed_everywhere(server, prepare, act, check) >= 4


def void(_value: object) -> None:
    """Drop a value."""


def removal_of(client: OllamaClient, text: str, *, with_base: bool = False) -> Removal:
    ledger = read_ledger()
    target = find_target(text, ledger, client.installed_models())
    return plan_removal(client, ledger, target, with_base=with_base)


def test_an_alias_shares_its_base_models_file(server: OllamaServer, client: OllamaClient) -> None:
    set_up(client, "chat", BASE)
    planned = removal_of(client, "chat")
    assert planned.names == (f"{ALIAS}:latest",)
    assert planned.frees_bytes == 0
    assert planned.shared_with == (BASE,)
    remove(client, planned)
    assert names(server) == {BASE, OTHER}
    assert read_ledger().current("chat") is None


def test_with_its_base_a_removal_frees_the_file(server: OllamaServer, client: OllamaClient) -> None:
    set_up(client, "chat", BASE)
    planned = removal_of(client, "chat", with_base=True)
    assert planned.names == (f"{ALIAS}:latest", BASE)
    before = sum(blob.size for blob in server.state.blobs.values())
    remove(client, planned)
    freed = before - sum(blob.size for blob in server.state.blobs.values())
    assert planned.frees_bytes is not None
    assert abs(planned.frees_bytes - freed) < 50_000
    assert names(server) == {OTHER}


def test_a_base_that_others_use_stays(server: OllamaServer, client: OllamaClient) -> None:
    set_up(client, "chat", BASE)
    set_up(client, "code", BASE)
    planned = removal_of(client, "chat", with_base=True)
    assert planned.base_kept_for == ("assistant-code:latest",)
    assert planned.names == (f"{ALIAS}:latest",)
    remove(client, planned)
    assert names(server) == {BASE, OTHER, "assistant-code:latest"}


def test_an_alias_outlives_its_base(server: OllamaServer, client: OllamaClient) -> None:
    set_up(client, "chat", BASE)
    planned = removal_of(client, BASE)
    assert (planned.made_from_it, planned.frees_bytes) == ((ALIAS,), 0)
    remove(client, planned)
    assert client.show(ALIAS).num_ctx == 2048
    assert read_ledger().current("chat") is not None


def test_a_model_that_was_never_set_up_is_removed_too(
    server: OllamaServer, client: OllamaClient
) -> None:
    server.load(OTHER)
    planned = removal_of(client, OTHER)
    assert planned.loaded
    assert planned.frees_bytes is not None
    assert planned.frees_bytes > 250_000_000
    remove(client, planned)
    assert names(server) == {BASE}


def test_a_removed_backup_is_no_longer_offered(server: OllamaServer, client: OllamaClient) -> None:
    client.copy(OTHER, ALIAS)
    set_up(client, "chat", BASE)
    planned = removal_of(client, f"{ALIAS}:before-setup")
    assert planned.backup_of == ALIAS
    remove(client, planned)
    assert history().backup is None
    assert plan(client).kind == "remove"


def test_an_alias_that_is_gone_already_only_leaves_the_ledger(
    server: OllamaServer, client: OllamaClient
) -> None:
    set_up(client, "chat", BASE)
    client.delete(ALIAS)
    planned = removal_of(client, "chat")
    assert planned.names == ()
    remove(client, planned)
    assert history().entry is None
    with pytest.raises(UnknownModelError, match="removed before"):
        removal_of(client, "chat")


@pytest.mark.parametrize("path", ["/api/create", "/api/copy", "/api/delete", "/api/tags"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_leaves_a_state_that_the_same_command_finishes(
    path: str, status: int, server: OllamaServer, client: OllamaClient
) -> None:
    first = set_up(client, "chat", BASE)
    set_up(client, "chat", OTHER)
    planned = plan(client)
    server.faults.add(Fault.error(path, status=status, text="out of luck"))
    with pytest.raises(OllamaError):
        roll_back(client, planned)
    assert server.manifest(ALIAS) is not None
    roll_back(client, plan(client))
    assert digest(server) == first.alias_digest
    assert history().current == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault.cut("/api/create", after_lines=1),
        Fault.garbage("/api/create"),
        Fault.kill("/api/create", after_lines=1),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_creation_that_breaks_off_leaves_the_alias_as_it_was(
    fault: Fault, server: OllamaServer, client: OllamaClient
) -> None:
    set_up(client, "chat", BASE)
    second = set_up(client, "chat", OTHER)
    planned = plan(client)
    server.faults.add(fault)
    with pytest.raises(AssistantError):
        roll_back(client, planned)
    if not server.alive:
        server.start()
    assert digest(server) == second.alias_digest
    assert history().entry == second
    roll_back(client, plan(client))
    assert history().current == 0


def test_a_file_that_the_server_does_not_name_makes_the_gain_unknown(
    server: OllamaServer, client: OllamaClient
) -> None:
    server.faults.add(Fault.error("/api/show", status=500, times=None))
    assert removal_of(client, OTHER).frees_bytes is None


def test_find_installed_models_by_their_usual_name(client: OllamaClient) -> None:
    assert installed_as("SMOLLM2:135M", client.installed_models()) is not None
