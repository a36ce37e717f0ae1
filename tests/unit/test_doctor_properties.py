"""Properties of the doctor: it never raises, and what it offers is true of the arithmetic."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.cli.doctor_text import MARKS, render_findings
from assistant.doctor.diagnose import diagnose
from assistant.doctor.gpu_fixes import find_fixes
from assistant.doctor.gpu_terms import LEAST_SHARE, build_case, cpu_share, guilty_term
from assistant.doctor.records import (
    KEPT_VARIABLES,
    LEVELS,
    DiskSeen,
    EnvironmentSeen,
    IndexSeen,
    ModelSeen,
    Observations,
    PartialDownload,
    ProxySeen,
    ServerSeen,
    SystemSeen,
)
from assistant.doctor.serialize import finding_to_dict, observations_to_dict
from assistant.fit.estimate import estimate_fit
from assistant.machine.records import Accelerator, Container, Cpu, Machine, Ram, Unavailable
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import Upstream
from assistant.provision.records import AliasHistory, Ledger, LedgerEntry, Measured
from assistant.units import GIB, MIB
from tests.support.doctor_scenes import facts_of

NAMES = ("qwen3:8b", "gemma3:12b", "qwen3:30b-a3b", "nomic-embed-text", "llama3.3:70b", "gone:1b")
KNOWN = NAMES[:-1]
TEXT = st.text(max_size=12)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


SIZES = st.integers(0, 200 * GIB)
SETTINGS = st.sampled_from(
    ["", "0", "1", "-1", "2", "4", "8192", "131072", "q8_0", "q4_0", "q9", "true", "0.0.0.0", "x:y"]
)
ENVIRON = st.dictionaries(st.sampled_from(KEPT_VARIABLES), SETTINGS, max_size=6)


@st.composite
def gpus(draw: st.DrawFn) -> Accelerator:
    total = draw(maybe(st.integers(0, 100 * GIB)))
    free = None if total is None else draw(maybe(st.integers(0, total)))
    vendor, backend = draw(
        st.sampled_from([("nvidia", "cuda"), ("amd", "rocm"), ("apple", "metal"), ("intel", None)])
    )
    return Accelerator(
        name=draw(st.sampled_from(["NVIDIA GeForce RTX 3060", "AMD Radeon RX 6600", "GPU"])),
        vendor=vendor,
        kind=draw(st.sampled_from(["discrete", "integrated", "unified"])),
        memory_total_bytes=total,
        memory_free_bytes=free,
        bandwidth_gb_per_s=draw(maybe(st.floats(1, 2000))),
        compute_capability=draw(maybe(st.sampled_from(["5.2", "8.6", "x"]))),
        backend=backend,
        used_by_ollama=draw(st.booleans()),
    )


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    total = draw(maybe(st.integers(0, 256 * GIB)))
    available = None if total is None else draw(maybe(st.integers(0, total)))
    return Machine(
        os=draw(maybe(TEXT)),
        cpu=Cpu(draw(maybe(TEXT))),
        ram=Ram(total, available, draw(maybe(st.floats(1, 500)))),
        accelerators=tuple(draw(st.lists(gpus(), max_size=3))),
        container=draw(maybe(st.builds(Container, st.sampled_from(["docker", "lxc"])))),
        source=draw(st.sampled_from(["detected", "stated", "file"])),
        assumptions=tuple(draw(st.lists(TEXT, max_size=2))),
    )


@st.composite
def models(draw: st.DrawFn) -> ModelSeen:
    name = draw(st.sampled_from(KNOWN))
    return ModelSeen(
        name,
        digest=draw(maybe(st.sampled_from(["a" * 64, "b" * 64]))),
        facts=draw(maybe(st.just(facts_of(name)))),
        alternatives=tuple(draw(st.lists(st.just(facts_of(name, "q4_K_M")), max_size=1)))
        if name == "qwen3:8b"
        else (),
        capabilities=frozenset(draw(st.lists(st.sampled_from(["completion", "vision"])))),
        num_ctx=draw(maybe(st.integers(1, 300_000))),
        num_gpu=draw(maybe(st.integers(0, 120))),
        in_cloud=draw(st.booleans()),
    )


LOADED = st.builds(
    LoadedModel,
    st.sampled_from(NAMES),
    maybe(SIZES),
    maybe(SIZES),
    maybe(st.integers(0, 300_000)),
)
SERVERS = st.builds(
    ServerSeen,
    url=TEXT,
    is_local=st.booleans(),
    reachable=maybe(st.booleans()),
    version=maybe(st.sampled_from(["0.33.0", "0.1.2", "0.0.0", "", "new"])),
    why=maybe(TEXT),
    note=maybe(TEXT),
    platform=st.sampled_from(["linux", "darwin", "win32", "freebsd"]),
    is_service=st.booleans(),
    how_to_start=maybe(TEXT),
)
ENVIRONMENTS = st.builds(
    EnvironmentSeen,
    ENVIRON,
    ENVIRON,
    st.sampled_from(["process", "service", "shell", "unknown"]),
    maybe(TEXT),
    st.builds(ProxySeen, st.booleans(), st.booleans(), st.booleans()),
    st.builds(ProxySeen, st.booleans(), st.booleans(), st.booleans()),
)
PARTIALS = st.builds(
    PartialDownload, st.just("sha256-" + "a" * 64), SIZES, maybe(SIZES), st.integers(0, 3)
)
DISKS = st.builds(
    DiskSeen,
    models_path=maybe(TEXT),
    free_bytes=maybe(SIZES),
    exists=maybe(st.booleans()),
    has_manifests=maybe(st.booleans()),
    can_read=maybe(st.booleans()),
    server_can_write=maybe(st.booleans()),
    data_path=maybe(TEXT),
    data_can_write=maybe(st.booleans()),
    partials=st.lists(PARTIALS, max_size=2).map(tuple),
)
SYSTEMS = st.builds(
    SystemSeen, maybe(SIZES), maybe(SIZES), maybe(st.booleans()), maybe(st.just("low-power"))
)
ENTRIES = st.builds(
    LedgerEntry,
    alias=st.sampled_from(["assistant-chat", "assistant-code"]),
    model=st.sampled_from(KNOWN),
    num_ctx=st.integers(1, 300_000),
    modelfile=TEXT,
    created_at=st.just("2026-11-20T10:00:00Z"),
    role=maybe(st.sampled_from(["chat", "code"])),
    digest=maybe(st.just("a" * 64)),
    alias_digest=maybe(st.just("b" * 64)),
    measured=maybe(
        st.builds(Measured, st.just("2026-11-20"), decode_tokens_per_s=maybe(st.floats(0, 99)))
    ),
)
LEDGERS = st.lists(ENTRIES, max_size=2, unique_by=lambda entry: entry.alias).map(
    lambda entries: Ledger(tuple(AliasHistory(e.alias, e.role, (e,), (None,), 0) for e in entries))
)
OBSERVATIONS = st.builds(
    Observations,
    server=SERVERS,
    machine=maybe(machines()),
    environment=ENVIRONMENTS,
    models=maybe(st.lists(models(), max_size=4).map(tuple)),
    loaded=maybe(st.lists(LOADED, max_size=3).map(tuple)),
    disk=DISKS,
    system=SYSTEMS,
    index=maybe(st.builds(IndexSeen, st.booleans(), st.booleans())),
    ledger=maybe(LEDGERS),
    upstream=st.dictionaries(
        st.sampled_from(NAMES),
        st.builds(Upstream, maybe(st.just("sha256:" + "c" * 64)), st.booleans(), maybe(TEXT)),
        max_size=2,
    ),
    asked=maybe(st.sampled_from(NAMES)),
    gaps=st.lists(st.builds(Unavailable, TEXT, TEXT), max_size=2).map(tuple),
)


@settings(max_examples=300)
@given(OBSERVATIONS)
def test_it_never_raises_and_says_the_worst_first(seen: Observations) -> None:
    findings = diagnose(seen)
    places = [LEVELS.index(found.level) for found in findings]
    assert places == sorted(places)
    for found in findings:
        assert found.id
        assert found.level == "ok" or found.evidence
        assert set(finding_to_dict(found)) >= {"id", "level", "what", "evidence", "fix"}
    assert observations_to_dict(seen)["machine"] is None or seen.machine is not None
    text = render_findings(findings)
    assert all(line[:1] in {*MARKS.values(), " ", "N"} for line in text.split("\n") if line)


@settings(max_examples=300)
@given(OBSERVATIONS)
def test_every_fix_for_the_gpu_is_computed_to_end_there(seen: Observations) -> None:
    for loaded in (*(seen.loaded or ()), None):
        name = seen.asked if loaded is None else loaded.name
        model = seen.model(name) if name is not None else None
        case = build_case(seen, model, loaded) if model is not None else None
        if case is None or (loaded is None and case.estimate.placement.verdict == "gpu"):
            continue
        share = None if loaded is None else cpu_share(loaded)
        if loaded is not None and (share is None or share < LEAST_SHARE):
            continue
        term = guilty_term(case, seen.environment.variables)
        for fix in find_fixes(seen, case, term):
            again = estimate_fit(fix.facts, fix.machine, fix.options)
            assert again.placement.verdict == "gpu"
            assert fix.text


@given(st.integers(1, 24), st.integers(12, 16), st.integers(0, 4000))
def test_a_model_that_is_wholly_on_the_gpu_is_never_called_guilty(
    total: int, power: int, used: int
) -> None:
    from tests.support.doctor_scenes import computer, gpu, loaded_scene

    card = gpu(total * GIB, min(used * MIB, total * GIB))
    seen = loaded_scene("qwen3:8b", 2**power, computer(card, ram=256 * GIB))
    whole = [m for m in seen.loaded or () if m.size_bytes == m.vram_bytes]
    guilty = [found for found in diagnose(seen) if found.id == "on-cpu"]
    assert len(whole) + len(guilty) == 1
