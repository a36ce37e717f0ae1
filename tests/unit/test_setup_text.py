"""What setup shows, at 80 and at 40 columns, and what it takes on its command line."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.cli.setup_request import DEFAULT_ROLES, Bandwidth, parse_models, parse_roles
from assistant.cli.setup_text import (
    duration,
    machine_line,
    rate,
    render_clients,
    render_done,
    render_in_place,
    render_plan,
)
from assistant.errors import AssistantError, UsageError
from assistant.machine.records import Disk, Machine
from assistant.ollama.server_address import parse_address
from assistant.provision.choose import target_of_entry
from assistant.provision.plan import download_bytes, plan_steps
from assistant.provision.records import (
    Expectation,
    Ledger,
    LedgerEntry,
    Plan,
    RoleTarget,
    alias_of,
)
from assistant.units import GB, GIB
from tests.support.provision_scenes import gpu, machine

WIDTHS = (80, 40)
ADDRESS = parse_address("127.0.0.1:11434")


def target(role: str, model: str, **more: object) -> RoleTarget:
    found = RoleTarget(
        role, alias_of(role), model, 16_384, f"FROM {model}\n", Expectation("gpu", 16_384),
        download_bytes=6_594_474_711, licence="Apache 2.0", commercial_use="yes",
        reasons=("best overall for chat: 31 points.",),
        estimate={"memory": {"total_bytes": 9 * GIB, "gpu": {"total_bytes": 8 * GIB}}},
    )  # fmt: skip
    return replace(found, **more)  # type: ignore[arg-type]


TARGETS = (
    target("chat", "qwen3.5:9b"),
    target("code", "qwen3-coder:30b-a3b-q4_K_M", stays_loaded=False,
           expected=Expectation("partial", 16_384)),
    target("embeddings", "nomic-embed-text", download_bytes=None),
    target("vision", "qwen3.5:9b"),
    target("rag", "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", licence=None,
           commercial_use="unknown", reasons=("as you asked",)),
    target("writing", "gemma3:12b", licence="Gemma Terms of Use", commercial_use="conditional",
           licence_note="Read the policy."),
)  # fmt: skip


def plan(*targets: RoleTarget, **more: object) -> Plan:
    steps = plan_steps(targets, Ledger(), {})
    found = Plan(
        targets,
        steps,
        download_bytes=download_bytes(steps),
        kept_bytes=1_200_000_000,
        bytes_per_s=24e6,
        bytes_per_s_from="measured now",
        together_bytes=10 * GIB,
        memory_bytes=12 * GIB,
        on_gpu=True,
        notes=("chat and vision share qwen3.5:9b, with one context: no reloading between them.",),
        assumptions=("the desktop takes 0.7 GiB", "OLLAMA_NUM_PARALLEL=2 from the environment"),
    )
    return replace(found, **more)  # type: ignore[arg-type]


def assert_narrow(text: str, width: int) -> None:
    """Fail when a line is wider, unless it is one word that cannot be broken."""
    for line in text.splitlines():
        assert len(line) <= width or len(line.split()) == 1, line
        assert line == line.rstrip()


def words(text: str) -> str:
    return " ".join(text.split())


SETS = [TARGETS, TARGETS[:1], TARGETS[1:2], TARGETS[2:3], (TARGETS[0], TARGETS[2]), TARGETS[4:]]


@pytest.mark.parametrize(("targets", "width"), list(product(SETS, WIDTHS)))
def test_the_plan_is_never_wider_and_nothing_is_lost(
    targets: tuple[RoleTarget, ...], width: int
) -> None:
    text = render_plan(plan(*targets), width=width)
    assert_narrow(text, width)
    for each in targets:
        assert each.model in text
        assert each.role in text
        assert each.alias in text
    assert "at 16k" in words(text)
    assert "Nothing is removed." in text
    assert "OLLAMA_NUM_PARALLEL=2" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_the_end_is_never_wider_and_nothing_is_lost(width: int) -> None:
    line = "100% GPU, 8.0 GiB, 16,384 tokens, 41.2 tokens/s (expected 27-51), loads in 2.1 s"
    text = render_done(
        TARGETS,
        dict.fromkeys((t.role for t in TARGETS), line),
        address=ADDRESS,
        notes=("qwen3.5:9b and nomic-embed-text are loaded side by side now: 9.1 GiB.",),
        seconds=552,
        width=width,
    )
    assert_narrow(text, width)
    assert all(each.alias in text for each in TARGETS)
    flat = words(text)
    assert "side by side now: 9.1 GiB." in flat
    assert "Done in 9 min 12 s. Undo: assistant rollback chat" in flat
    assert "Try it: ollama run assistant-chat" in flat
    assert "http://127.0.0.1:11434/v1" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_in_place(width: int) -> None:
    text = render_in_place(TARGETS, width=width)
    assert_narrow(text, width)
    assert text.startswith("Everything is as planned.")
    for each in TARGETS:
        assert each.alias in text
        assert each.model in text


def test_the_plan_at_80_columns() -> None:
    shown = plan(target("chat", "qwen3.5:9b"), target("embeddings", "nomic-embed-text"), notes=())
    assert render_plan(shown, width=80) == (
        "  role        model             download  memory          why\n"
        "  chat        qwen3.5:9b          6.6 GB  8.0 GiB at 16k  best overall\n"
        "  embeddings  nomic-embed-text    6.6 GB  8.0 GiB at 16k  best overall\n"
        "\n"
        "Downloads 13.2 GB (1.2 GB of it is here already), about 8 min 20 s at the 24\n"
        "  MB/s measured now.\n"
        "Creates assistant-chat and assistant-embeddings, each verified by running it.\n"
        "Side by side in memory: 10.0 GiB of 12.0 GiB of the GPU.\n"
        "Nothing is removed.\n"
        "How fast they write is not known for this machine: assistant hardware\n"
        "  --measure.\n"
        "\n"
        "Assumed: the desktop takes 0.7 GiB; OLLAMA_NUM_PARALLEL=2 from the\n"
        "  environment."
    )


def test_a_download_is_shown_once_for_roles_that_share_a_model() -> None:
    text = render_plan(plan(target("chat", "qwen3.5:9b"), target("code", "qwen3.5:9b")), width=80)
    rows = [line for line in text.splitlines() if "qwen3.5:9b   " in line]
    assert ["6.6 GB" in row for row in rows] == [True, False]


def test_a_size_that_nobody_knows_is_said() -> None:
    both = render_plan(plan(TARGETS[0], TARGETS[2]), width=80)
    assert "Downloads 6.6 GB" in both
    assert "Downloads nomic-embed-text, whose size is not known." in both
    alone = render_plan(plan(TARGETS[2], kept_bytes=0), width=80)
    assert "Downloads nomic-embed-text, whose size is not known." in alone
    assert "0 MB" not in alone


def test_more_kept_than_is_to_be_downloaded_takes_no_time() -> None:
    text = render_plan(plan(TARGETS[0], kept_bytes=9 * GB), width=80)
    assert "about 0 s" in text


def test_where_a_model_lands_is_said_on_a_machine_with_a_gpu() -> None:
    assert "partly on the CPU" in words(render_plan(plan(TARGETS[1]), width=80))
    too_large = replace(TARGETS[0], expected=Expectation("none", 16_384))
    for on_gpu in (True, False):
        text = words(render_plan(plan(too_large, on_gpu=on_gpu), width=80))
        assert "more than the memory holds" in text
    in_ram = replace(TARGETS[0], expected=Expectation("cpu", 16_384))
    assert "on the CPU" in words(render_plan(plan(in_ram), width=80))
    text = render_plan(plan(in_ram, on_gpu=False), width=80)
    assert "on the CPU" not in text
    assert "9.0 GiB at 16k" in text
    assert "12.0 GiB of RAM" in text


def test_licences_that_need_attention() -> None:
    text = words(render_plan(plan(*TARGETS), width=80))
    assert (
        "Licence of gemma3:12b: Gemma Terms of Use, commercial use under conditions (Read the "
        "policy)."
    ) in text
    assert "GGUF:Q4_K_M: unknown, terms unknown to this program; read them." in text
    assert "Licence of qwen3.5:9b" not in text


def test_of_what_was_set_up_before_nothing_is_said_anew() -> None:
    entry = LedgerEntry(
        "assistant-chat", "qwen3.5:9b", 16_384, "FROM qwen3.5:9b\n", "2026-11-20T10:00:00+00:00",
        role="chat", licence="Apache 2.0",
    )  # fmt: skip
    text = render_plan(plan(target_of_entry(entry)), width=80)
    assert "set up before" in text
    assert "Licence" not in text


def test_an_embedding_model_alone_is_not_talked_to() -> None:
    text = render_done(
        TARGETS[2:3], {}, address=ADDRESS, notes=(), seconds=3, width=80
    )  # fmt: skip
    assert "ollama run" not in text
    assert "Undo: assistant rollback embeddings" in text
    assert "/v1/embeddings, model assistant-embeddings" in text
    both = render_done((TARGETS[2], TARGETS[0]), {}, address=ADDRESS, notes=(), seconds=3, width=80)
    assert "Try it: ollama run assistant-chat" in both


def test_clients_get_the_model_they_want() -> None:
    text = render_clients(TARGETS, address=ADDRESS, width=80)
    assert "model assistant-chat" in text
    assert "aider --model ollama_chat/assistant-code" in text
    only = render_clients(TARGETS[3:4], address=ADDRESS, width=80)
    assert "assistant-vision" in only
    assert "aider" not in only


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "here",
    [
        Machine(),
        machine(gpu(12, 11.3, name="NVIDIA GeForce RTX 3060"), ram=32),
        machine(gpu(12, known_free=False), gpu(24, name="AMD Radeon RX 7900 XTX"), ram=None),
        replace(machine(ram=64), disk=Disk("/models", 211 * GB)),
        replace(
            machine(ram=64),
            cpu=replace(machine().cpu, name="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 2 of"),
        ),
    ],
)
def test_the_machine_in_a_line(here: Machine, width: int) -> None:
    for version in ("0.33.0", None, ""):
        text = machine_line(here, version, width=width)
        assert_narrow(text, width)
        assert "None" not in text
        flat = words(text)
        assert ("Ollama 0.33.0" in flat) == (version == "0.33.0")
        assert ("no Ollama server" in flat) == (version is None)
        for each in here.usable_accelerators:
            assert each.name in flat
        assert ("no GPU that Ollama uses" in flat) == (not here.usable_accelerators)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"), (0, "0 s"), (0.4, "0 s"), (8.2, "8 s"), (59.4, "59 s"), (59.6, "1 min"),
        (60, "1 min"), (61, "1 min 1 s"), (552, "9 min 12 s"), (3599.6, "1 h"), (3600, "1 h"),
        (7199, "2 h"), (7500, "2 h 5 min"), (90_000, "25 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("bytes_per_s", "text"),
    [
        (12, "12 B/s"), (40_000, "40 kB/s"), (99_000, "99 kB/s"), (400_000, "0.4 MB/s"),
        (9_400_000, "9.4 MB/s"), (24_000_000, "24 MB/s"), (1_200_000_000, "1.2 GB/s"),
    ],
)  # fmt: skip
def test_rates(bytes_per_s: float, text: str) -> None:
    assert rate(bytes_per_s) == text


@given(st.floats(1, 1e12))
def test_a_rate_is_never_nothing(bytes_per_s: float) -> None:
    number, unit = rate(bytes_per_s).split()
    factor = {"B/s": 1, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9}[unit]
    assert float(number) * factor == pytest.approx(bytes_per_s, rel=0.51)
    assert float(number) > 0


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("50MB/s", 50e6), ("50 MB/s", 50e6), ("50MB", 50e6), ("50MBps", 50e6), ("2.5GB/s", 2.5e9),
        ("100Mbit/s", 12.5e6), ("100Mbit", 12.5e6), ("100 Mbits/s", 12.5e6), ("1Gbit/s", 125e6),
        ("100Mbps", 12.5e6), ("100mbps", 12.5e6), ("1Gbps", 125e6), ("100Mb/s", 12.5e6),
        ("800kbit/s", 100e3), ("64KB/s", 64e3),
    ],
)  # fmt: skip
def test_speeds_of_lines(text: str, bytes_per_s: float) -> None:
    assert Bandwidth().convert(text, None, None) == pytest.approx(bytes_per_s)


def test_a_speed_that_is_a_number_already_stays_one() -> None:
    assert Bandwidth().convert(24e6, None, None) == 24e6


@pytest.mark.parametrize(
    "text",
    ["", "fast", "50", "50M", "0MB/s", "-5MB/s", "MB/s", "1e9MB/s", "nanMB/s", "infMB/s",
     "9" * 400 + "GB/s", "999999GB/s", "50 MB / s", "50MB/h", "٥MB/s", "50MiB/s"],
)  # fmt: skip
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a speed; give 50MB/s or 100Mbit/s"):
        Bandwidth().convert(text, None, None)


@given(st.text(max_size=12))
def test_any_text_is_a_speed_or_refused(text: str) -> None:
    try:
        found = Bandwidth().convert(text, None, None)
    except click.BadParameter:
        return
    assert 1 <= found <= 1e12


@pytest.mark.parametrize(
    ("roles", "models", "expected"),
    [
        ((), {}, DEFAULT_ROLES),
        (("chat",), {}, ("chat",)),
        (("coding", "code", "Embed"), {}, ("code", "embeddings")),
        ((), {"vision": "x"}, ("vision",)),
        (("chat",), {"code": "x", "chat": "y"}, ("chat", "code")),
    ],
)
def test_roles(roles: tuple[str, ...], models: dict[str, str], expected: tuple[str, ...]) -> None:
    assert parse_roles(roles, models) == expected


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(UsageError, match="no role 'cooking'"):
        parse_roles(("cooking",), {})


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["chat=llama3.1:8b"], {"chat": "llama3.1:8b"}),
        ([" coding = hf.co/u/r:Q4_K_M "], {"code": "hf.co/u/r:Q4_K_M"}),
        (["chat=a", "embed=b"], {"chat": "a", "embeddings": "b"}),
        (["chat=a", "chat=a"], {"chat": "a"}),
        ([], {}),
    ],
)
def test_models_by_role(texts: list[str], expected: dict[str, str]) -> None:
    assert parse_models(texts) == expected


@pytest.mark.parametrize(
    "texts",
    [["chat"], ["=x"], ["chat="], [" = "], [""], ["cooking=x"], ["chat=a b"], ["chat=a", "chat=b"],
     ["code=a", "coding=b"]],
)  # fmt: skip
def test_what_names_no_model_for_a_role(texts: list[str]) -> None:
    with pytest.raises(AssistantError) as caught:
        parse_models(texts)
    assert caught.value.exit_code == 2
    assert caught.value.hint is not None
