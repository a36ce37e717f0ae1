"""What the doctor says of contexts, speed, server, disk and setup: a case for and one against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assistant.doctor.diagnose import diagnose
from assistant.doctor.records import (
    LEVELS,
    DiskSeen,
    EnvironmentSeen,
    Finding,
    IndexSeen,
    ModelSeen,
    Observations,
    PartialDownload,
    ProxySeen,
    ServerSeen,
    SystemSeen,
)
from assistant.machine.parse import load_machine
from assistant.machine.records import MeasuredRun, Ram, Unavailable
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import Upstream
from assistant.provision.ledger import with_entry
from assistant.provision.records import (
    Expectation,
    Ledger,
    LedgerEntry,
    Measured,
    Pending,
    RoleTarget,
)
from assistant.units import GB, GIB
from tests.support.doctor_scenes import computer, facts_of, gpu, installed, scene

LOCAL = "http://127.0.0.1:11434"
NO_ANSWER = f"no Ollama server answers at {LOCAL} (connection refused)"
SERVICE = ServerSeen(LOCAL, True, True, "0.33.0", is_service=True)
ENTRY = LedgerEntry(
    alias="assistant-chat",
    model="qwen3:8b",
    num_ctx=16384,
    modelfile="FROM qwen3:8b",
    created_at="2026-11-20T10:00:00Z",
    role="chat",
    digest="b" * 64,
    blob_digest=f"sha256:{'c' * 64}",
    alias_digest="d" * 64,
    expected=Expectation("gpu", 16384, 8 * GIB, 8 * GIB, 20.0, 30.0, 40.0),
    measured=Measured("2026-11-20T10:05:00Z", decode_tokens_per_s=31.0),
)
LEDGER = with_entry(Ledger(), ENTRY)
BASE = replace(installed("qwen3:8b"), digest="b" * 64, num_ctx=16384)
ALIAS = replace(
    installed("assistant-chat:latest", facts_of("qwen3:8b")), digest="d" * 64, num_ctx=16384
)


def well(**more: Any) -> Observations:
    """Return a scene in which nothing is wrong: two models with a long context."""
    return scene(computer(gpu()), [ALIAS, BASE], more.pop("loaded", ()), ledger=LEDGER, **more)


def disk(**more: Any) -> DiskSeen:
    values: dict[str, Any] = {
        "models_path": "/m/models", "free_bytes": 200 * GB, "exists": True, "has_manifests": True,
        "can_read": True, "server_can_write": True, "data_path": "/d", "data_can_write": True,
    }  # fmt: skip
    return DiskSeen(**{**values, **more})


def shell(**variables: str) -> EnvironmentSeen:
    return EnvironmentSeen({}, variables, "service")


def server(**variables: str) -> EnvironmentSeen:
    return EnvironmentSeen(variables, {}, "process")


def entry(**changes: Any) -> Ledger:
    return with_entry(Ledger(), replace(ENTRY, **changes))


CASES: dict[str, tuple[str, str, Callable[[], Observations]]] = {
    "a short context for /v1": (
        "context-short", "warning", lambda: scene(computer(gpu()), [installed("qwen3:8b")]),
    ),
    "a context above the trained one": (
        "context-above-trained", "warning",
        lambda: scene(computer(gpu()), [installed("gemma2:9b", num_ctx=65536)]),
    ),
    "a context nobody can know": (
        "context-unknown", "unknown", lambda: scene(None, [installed("qwen3:8b")]),
    ),
    "flash attention off": (
        "flash-attention-off", "warning",
        lambda: well(environment=server(OLLAMA_FLASH_ATTENTION="0")),
    ),
    "a small cache without flash attention": (
        "kv-cache-without-flash-attention", "problem",
        lambda: well(
            environment=server(OLLAMA_FLASH_ATTENTION="0", OLLAMA_KV_CACHE_TYPE="q8_0")
        ),
    ),
    "a small cache on a GPU without flash attention": (
        "kv-cache-without-flash-attention", "problem",
        lambda: replace(
            well(environment=server(OLLAMA_KV_CACHE_TYPE="q8_0")),
            machine=computer(gpu(compute_capability="5.2")),
        ),
    ),
    "full memory": (
        "memory-full", "warning",
        lambda: replace(well(), machine=replace(computer(gpu()), ram=Ram(32 * GIB, GIB))),
    ),
    "swap in use": ("swap", "warning", lambda: well(system=SystemSeen(8 * GIB, 3 * GIB))),
    "on battery": ("battery", "warning", lambda: well(system=SystemSeen(0, 0, True))),
    "saving power": (
        "power-profile", "warning", lambda: well(system=SystemSeen(0, 0, False, "low-power")),
    ),
    "slower than it was expected to be": (
        "slower-than-expected", "warning",
        lambda: replace(
            well(), ledger=entry(measured=Measured("2026-11-20", decode_tokens_per_s=9.0))
        ),
    ),
    "slower than expected when measured": (
        "slower-than-expected", "warning",
        lambda: replace(
            well(),
            machine=replace(
                computer(gpu()),
                measured_runs=(
                    MeasuredRun(
                        "gemma3:4b", "Q4_K_M", 4096, "gpu", 10.0, "2026-11-20", None, 60.0
                    ),
                ),
            ),
        ),
    ),
    "bandwidth never measured": (
        "bandwidth-unknown", "unknown",
        lambda: replace(
            well(),
            machine=replace(computer(), ram=Ram(32 * GIB, 28 * GIB)),
            loaded=(LoadedModel("gemma3:4b", 8 * GIB, 0, 16384),),
        ),
    ),
    "no server": (
        "no-server", "problem",
        lambda: scene(
            computer(gpu()), server=ServerSeen(LOCAL, True, False, None, NO_ANSWER)
        ),
    ),
    "a server not asked": (
        "server-not-asked", "unknown",
        lambda: scene(computer(gpu()), server=ServerSeen(LOCAL, False, None, None, "--offline")),
    ),
    "too old": (
        "version-too-old", "problem",
        lambda: well(server=ServerSeen(LOCAL, True, True, "0.5.1")),
    ),
    "older than tested": (
        "version-older", "warning", lambda: well(server=ServerSeen(LOCAL, True, True, "0.20.2")),
    ),
    "a version of a build from source": (
        "version-unknown", "unknown", lambda: well(server=ServerSeen(LOCAL, True, True, "0.0.0")),
    ),
    "a strange address": (
        "address", "warning",
        lambda: well(server=ServerSeen(LOCAL, True, True, "0.33.0", note="'x' is not a port")),
    ),
    "open to the network": (
        "exposed", "warning", lambda: well(environment=server(OLLAMA_HOST="0.0.0.0:11434")),
    ),
    "open to the network, IPv6": (
        "exposed", "warning", lambda: well(environment=server(OLLAMA_HOST="http://[::]:11434")),
    ),
    "open to the network, port only": (
        "exposed", "warning", lambda: well(environment=server(OLLAMA_HOST=":11434")),
    ),
    "not a cache type": (
        "kv-cache-type", "problem", lambda: well(environment=server(OLLAMA_KV_CACHE_TYPE="q9")),
    ),
    "not a number": (
        "setting-ignored", "warning", lambda: well(environment=server(OLLAMA_NUM_PARALLEL="two")),
    ),
    "an overhead without effect": (
        "gpu-overhead", "warning", lambda: well(environment=server(OLLAMA_GPU_OVERHEAD="1000")),
    ),
    "set where the server does not see it": (
        "shell-only", "warning",
        lambda: well(environment=shell(OLLAMA_FLASH_ATTENTION="1"), server=SERVICE),
    ),
    "a proxy for this computer": (
        "proxy-for-loopback", "warning",
        lambda: well(
            environment=EnvironmentSeen(source="process", shell_proxy=ProxySeen(True, False))
        ),
    ),
    "a proxy the server does not have": (
        "proxy-missing", "warning",
        lambda: well(
            environment=EnvironmentSeen(source="service", shell_proxy=ProxySeen(False, True, True))
        ),
    ),
    "HTTP_PROXY in the server": (
        "proxy-in-server", "warning",
        lambda: well(
            environment=EnvironmentSeen(source="process", proxy=ProxySeen(True, True, False))
        ),
    ),
    "a full disk": ("disk-full", "problem", lambda: well(disk=disk(free_bytes=GB))),
    "a nearly full disk": ("disk-low", "warning", lambda: well(disk=disk(free_bytes=5 * GB))),
    "models elsewhere": (
        "models-elsewhere", "warning", lambda: well(disk=disk(has_manifests=False)),
    ),
    "models nobody can write": (
        "models-not-writable", "problem", lambda: well(disk=disk(server_can_write=False)),
    ),
    "a folder of ours nobody can write": (
        "data-not-writable", "problem", lambda: well(disk=disk(data_can_write=False)),
    ),
    "a damaged download": (
        "download-broken", "problem",
        lambda: well(disk=disk(partials=(PartialDownload("sha256-" + "a" * 64, GB, 2 * GB, 3),))),
    ),
    "an unfinished download": (
        "download-unfinished", "warning",
        lambda: well(disk=disk(partials=(PartialDownload("sha256-" + "a" * 64, GB, 2 * GB),))),
    ),
    "an alias that is gone": (
        "alias-missing", "problem", lambda: replace(well(), models=(BASE,)),
    ),
    "an alias that somebody changed": (
        "alias-changed", "warning",
        lambda: replace(well(), models=(replace(ALIAS, digest="e" * 64), BASE)),
    ),
    "a base that was pulled again": (
        "base-moved", "warning",
        lambda: replace(well(), models=(ALIAS, replace(BASE, digest="e" * 64))),
    ),
    "a newer file upstream": (
        "upstream-moved", "warning",
        lambda: well(upstream={"qwen3:8b": Upstream(f"sha256:{'e' * 64}")}),
    ),
    "a newer file of a model that was not set up": (
        "upstream-moved", "warning",
        lambda: scene(
            computer(gpu()),
            [replace(installed("gemma3:4b"), blob_digest=f"sha256:{'1' * 64}", num_ctx=16384)],
            upstream={"gemma3:4b": Upstream(f"sha256:{'2' * 64}")},
        ),
    ),
    "a registry that does not answer": (
        "upstream-unknown", "unknown",
        lambda: well(upstream={"qwen3:8b": Upstream(why="no answer")}),
    ),
    "a setup that was not finished": (
        "setup-unfinished", "warning",
        lambda: replace(
            well(), ledger=replace(LEDGER, pending=Pending("2026-11-20T10:00:00Z", "m", ()))
        ),
    ),
    "an index that is old": (
        "index-outdated", "warning", lambda: well(index=IndexSeen(built=True, outdated=True)),
    ),
    "a model that is not installed": (
        "not-installed", "problem", lambda: well(asked="gemma3:4b"),
    ),
    "models that take turns by order": (
        "taking-turns", "warning",
        lambda: replace(
            well(environment=server(OLLAMA_MAX_LOADED_MODELS="1")), ledger=two_aliases(2 * GIB)
        ),
    ),
    "models that do not fit together": (
        "taking-turns", "warning", lambda: replace(well(), ledger=two_aliases(8 * GIB)),
    ),
    "a source that could not be read": (
        "gap", "unknown", lambda: well(gaps=(Unavailable("the ledger", "it is damaged"),)),
    ),
}  # fmt: skip


def two_aliases(size: int) -> Ledger:
    """Return a ledger in which two aliases of `size` bytes each are to stay loaded."""
    expected = Expectation("gpu", 16384, size, size)
    first = with_entry(Ledger(), replace(ENTRY, expected=expected))
    return with_entry(first, replace(ENTRY, alias="assistant-code", role="code", expected=expected))


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_found(case: str) -> None:
    wanted, level, make = CASES[case]
    found = [f for f in diagnose(make()) if f.id == wanted]
    assert [f.level for f in found] == [level]
    assert found[0].what
    assert found[0].evidence or wanted == "not-installed"
    assert found[0].fix or level == "unknown"


@pytest.mark.parametrize("wanted", sorted({wanted for wanted, _, _ in CASES.values()}))
def test_what_is_well_is_left_alone(wanted: str) -> None:
    assert wanted not in {found.id for found in diagnose(well())}


def test_a_healthy_computer_has_nothing_but_oks() -> None:
    findings = diagnose(well())
    assert {found.level for found in findings} == {"ok"}
    topics = {"driver", "context", "flash attention", "version", "disk", "index", "setup", "proxy"}
    assert topics <= {found.what for found in findings}


def test_problems_come_first() -> None:
    seen = well(
        disk=disk(free_bytes=GB), system=SystemSeen(8 * GIB, 3 * GIB),
        gaps=(Unavailable("x", "y"),), index=IndexSeen(built=True, outdated=True),
    )  # fmt: skip
    places = [LEVELS.index(found.level) for found in diagnose(seen)]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2, 3}


def short(**more: Any) -> Finding:
    """Return the finding about a short context."""
    models = more.pop("models", [installed("qwen3:8b")])
    seen = scene(more.pop("machine", computer(gpu())), models, **more)
    return next(found for found in diagnose(seen) if found.id == "context-short")


def test_the_context_of_the_experience() -> None:
    found = short(models=[installed("gemma3:4b"), ALIAS, BASE], ledger=LEDGER)
    assert found.what == "prompts over 4,096 tokens are cut silently for programs that use /v1"
    assert found.fix == "point them at assistant-chat (16,384), or set OLLAMA_CONTEXT_LENGTH"


def test_the_base_of_an_alias_is_nobodys_to_talk_to() -> None:
    base = replace(BASE, num_ctx=None)
    seen = scene(computer(gpu()), [ALIAS, base], ledger=LEDGER)
    assert {f.level for f in diagnose(seen) if f.id.startswith("context")} == {"ok"}
    asked = replace(seen, asked="qwen3:8b")
    found = next(f for f in diagnose(asked) if f.id == "context-short")
    assert (found.fix or "").startswith("point them at assistant-chat (16,384)")
    others = short(models=[ALIAS, base, installed("gemma3:4b")], ledger=LEDGER)
    assert others.evidence[0].startswith("gemma3:4b: num_ctx 4096")
    gone = replace(LEDGER, aliases=(replace(LEDGER.aliases[0], current=None),))
    assert short(models=[base], ledger=gone).evidence[0].startswith("qwen3:8b: ")


TARGETS = tuple(
    RoleTarget(role, f"assistant-{role}", model, 16384, f"FROM {model}", Expectation("gpu", 16384))
    for role, model in (("chat", "qwen3:8b"), ("code", "qwen2.5-coder:7b"), ("rag", "qwen3:4b"))
)


def unfinished(**more: Any) -> Finding:
    pending = Pending("2026-11-20T10:00:00Z", "m", TARGETS)
    seen = replace(well(**more), ledger=replace(LEDGER, pending=pending))
    return next(f for f in diagnose(seen) if f.id == "setup-unfinished")


def test_a_setup_that_stopped_says_what_is_left_and_how_to_make_just_that() -> None:
    found = unfinished()
    assert found.what == ("a setup was not finished: code (qwen2.5-coder:7b), rag (qwen3:4b)")
    assert found.fix == "assistant setup --role code --role rag"
    assert found.also == ("assistant setup --anew\nwhich chooses again",)


def test_an_alias_that_the_server_lacks_is_left_to_make() -> None:
    pending = Pending("2026-11-20T10:00:00Z", "m", TARGETS[:1])
    seen = replace(well(), models=(BASE,), ledger=replace(LEDGER, pending=pending))
    found = next(f for f in diagnose(seen) if f.id == "setup-unfinished")
    assert found.fix == "assistant setup --role chat"


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("assistant-chat:next", "assistant setup"),
        ("assistant-tuned-qwen3-8b:next", "assistant models remove assistant-tuned-qwen3-8b:next"),
    ],
)
def test_a_left_over_candidate_is_a_note(name: str, fix: str) -> None:
    left = replace(ALIAS, name=name)
    seen = replace(well(), models=(ALIAS, BASE, left))
    (found,) = [f for f in diagnose(seen) if f.id == "left-over"]
    assert (found.level, found.fix, found.model) == ("unknown", fix, name)
    assert "left-over" not in {f.id for f in diagnose(replace(seen, asked="assistant-chat"))}
    theirs = replace(well(), models=(ALIAS, BASE, replace(ALIAS, name="mine:next")))
    assert "left-over" not in {f.id for f in diagnose(theirs)}


@pytest.mark.parametrize(
    ("asked", "fix"),
    [
        ("gemma3:4b", "ollama pull gemma3:4b"),
        ("assistant-code", "assistant setup --role code"),
        ("chta", "assistant doctor chat"),
    ],
)
def test_what_is_not_installed_is_got_where_it_comes_from(asked: str, fix: str) -> None:
    (found,) = [f for f in diagnose(well(asked=asked)) if f.id == "not-installed"]
    assert found.fix == fix


def test_of_an_alias_that_is_gone_only_the_drift_is_told() -> None:
    seen = replace(well(asked="assistant-chat"), models=(BASE,))
    assert [f.id for f in diagnose(seen) if f.level == "problem"] == ["alias-missing"]


@pytest.mark.parametrize("known", ["ledger", "alias", "runs", "base", "nothing", "elsewhere"])
def test_a_speed_that_was_measured_is_not_said_to_be_unknown(known: str) -> None:
    run = MeasuredRun("qwen3:8b", "Q4_K_M", 4096, "cpu", 10.0, "2026-11-20")
    machine = replace(computer(), ram=Ram(32 * GIB, 28 * GIB))
    loaded = LoadedModel("assistant-chat:latest", 8 * GIB, 0, 16384)
    unmeasured = entry(measured=None)
    seen = {
        "ledger": well(loaded=(replace(loaded, name="qwen3:8b"),)),
        "alias": well(loaded=(loaded,)),
        "runs": well(loaded=(replace(loaded, name="qwen3:8b"),)),
        "base": well(loaded=(loaded,)),
        "nothing": well(loaded=(loaded,)),
        "elsewhere": well(loaded=(loaded,)),
    }[known]
    if known in ("runs", "base"):
        machine = replace(machine, measured_runs=(run,))
    ledger = LEDGER if known in ("ledger", "alias", "elsewhere") else unmeasured
    if known == "elsewhere":
        ledger = replace(ledger, machine="another computer | 8 GiB")
    found = {f.id for f in diagnose(replace(seen, machine=machine, ledger=ledger))}
    assert ("bandwidth-unknown" in found) is (known in ("nothing", "elsewhere"))


def test_a_model_alone_gets_the_context_that_stays_on_the_gpu() -> None:
    assert short().fix == "assistant tune qwen3:8b --num-ctx 16384 --apply"
    small = short(machine=computer(gpu(8 * GIB)))
    assert small.fix == "assistant tune qwen3:8b --num-ctx 8192 --apply"
    assert (short(machine=computer()).fix or "").startswith("assistant setup")


def test_a_large_card_has_a_longer_tier() -> None:
    seen = scene(computer(gpu(24 * GIB)), [installed("qwen3:8b")])
    assert "context-short" not in {found.id for found in diagnose(seen)}


@pytest.mark.parametrize(
    ("variables", "num_ctx", "evidence"),
    [
        ({}, None, "nothing sets it, so Ollama takes its smallest for this much GPU memory"),
        ({"OLLAMA_CONTEXT_LENGTH": "2048"}, None, "set by OLLAMA_CONTEXT_LENGTH"),
        ({"OLLAMA_CONTEXT_LENGTH": "65536"}, 4096, "set by the Modelfile"),
    ],
)
def test_who_decides_the_context(
    variables: dict[str, str], num_ctx: int | None, evidence: str
) -> None:
    found = short(models=[installed("qwen3:8b", num_ctx=num_ctx)], variables=variables)
    assert found.evidence[0].endswith(evidence)


def test_embedding_and_cloud_models_write_no_text_here() -> None:
    models = [
        installed("nomic-embed-text"),
        ModelSeen("gpt-oss:120b-cloud", capabilities=frozenset({"completion"}), in_cloud=True),
        installed("assistant-chat:next", facts_of("qwen3:8b")),
    ]
    assert "context-short" not in {f.id for f in diagnose(scene(computer(gpu()), models))}


def test_how_a_variable_is_set_depends_on_how_the_server_is_started() -> None:
    fixes = []
    for change in (
        {"is_service": True}, {}, {"platform": "darwin"}, {"platform": "win32"},
    ):  # fmt: skip
        seen = well(
            environment=shell(OLLAMA_FLASH_ATTENTION="1"),
            server=ServerSeen(LOCAL, True, True, "0.33.0", **change),
        )
        found = next(f for f in diagnose(seen) if f.id == "shell-only")
        fixes.append((found.fix or "").splitlines()[0])
    assert fixes == [
        "sudo systemctl edit ollama",
        "stop the server, then: OLLAMA_FLASH_ATTENTION=1 ollama serve",
        "launchctl setenv OLLAMA_FLASH_ATTENTION 1",
        "setx OLLAMA_FLASH_ATTENTION 1",
    ]


def test_variables_that_agree_are_no_difference() -> None:
    environment = EnvironmentSeen(
        {"OLLAMA_NUM_PARALLEL": "2"}, {"OLLAMA_NUM_PARALLEL": "2"}, "process"
    )
    found = {f.id: f.level for f in diagnose(well(environment=environment))}
    assert found["settings"] == "ok"


def test_an_address_of_this_computer_is_not_open_to_the_network() -> None:
    for value in ("127.0.0.1:11434", "localhost", "http://[::1]:11434", "192.168.1.9"):
        found = diagnose(well(environment=server(OLLAMA_HOST=value)))
        assert "exposed" not in {f.id for f in found}, value


def test_a_damaged_download_is_removed_by_its_own_pattern() -> None:
    blob = "sha256-" + "a" * 64
    seen = well(
        disk=disk(models_path="/my models", partials=(PartialDownload(blob, GB, 2 * GB, 1),)),
        server=SERVICE,
    )
    found = next(f for f in diagnose(seen) if f.id == "download-broken")
    assert found.fix == f"sudo rm '/my models/blobs/'{blob}-partial*\nthen pull the model again"


def test_a_server_that_is_no_ollama_is_called_so() -> None:
    why = "what answers at http://127.0.0.1:11434 is not an Ollama server: no version"
    seen = scene(computer(gpu()), server=ServerSeen(LOCAL, True, False, None, why))
    assert diagnose(seen)[0].what == why


def test_a_described_remote_server_is_judged_by_its_description() -> None:
    elsewhere = ServerSeen("http://tower:11434", False, True, "0.33.0")
    seen = scene(
        load_machine("RTX 4090, 64GB RAM"), [installed("qwen3:8b")],
        server=elsewhere, environment=EnvironmentSeen(),
    )  # fmt: skip
    assert "context-short" not in {found.id for found in diagnose(seen)}
