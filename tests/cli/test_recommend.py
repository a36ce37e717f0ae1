"""`assistant recommend`: its text, its JSON, its filters, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.models.catalog import load_catalog
from assistant.recommend.languages import speaks

RTX_3060 = "RTX 3060 12GB, 32GB RAM"
RunCli = Callable[..., Any]

CASES = {
    "set": ("--machine", RTX_3060),
    "chat": ("--role", "chat", "--machine", RTX_3060),
    "code on Apple": ("--role", "code", "--machine", "M4 Max 64GB"),
    "small CPU": ("--role", "chat", "--machine", "Raspberry Pi 5 8GB"),
    "embeddings in German": ("--role", "embeddings", "--lang", "de", "--machine", "16GB VRAM"),
    "autocomplete": ("--autocomplete", "--prefer", "speed", "--machine", "RTX 4090"),
}


def picks_of(run_cli: RunCli, *arguments: str) -> list[dict[str, Any]]:
    done = run_cli("recommend", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return list(done.json["data"]["picks"])


@pytest.mark.parametrize("case", CASES)
def test_text(run_cli: RunCli, snapshot: SnapshotAssertion, case: str) -> None:
    done = run_cli("recommend", *CASES[case])
    assert done.exit_code == 0
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout == snapshot


def test_json_is_the_contract(run_cli: RunCli) -> None:
    done = run_cli("recommend", "--role", "chat", "--machine", RTX_3060, "--json")
    envelope = done.json
    assert (envelope["schema"], envelope["command"], envelope["status"]) == (1, "recommend", "ok")
    data = envelope["data"]
    assert {"machine", "role", "picks", "excluded", "as_of"} <= set(data)
    assert data["role"] == "chat"
    assert data["picks"][0]["label"] == "best overall"
    for pick in data["picks"]:
        assert {
            "label", "model", "quantization", "reasons", "license", "commercial_use", "pull",
            "score", "estimate",
        } <= set(pick)  # fmt: skip
        assert pick["pull"] == f"ollama pull {pick['model']}"
        assert all(isinstance(reason, str) for reason in pick["reasons"])
        assert pick["estimate"]["memory"]["total_bytes"] > 0
    for excluded in data["excluded"]:
        assert excluded["model"]
        assert excluded["reason"]


def test_set_says_what_stays_loaded(run_cli: RunCli) -> None:
    done = run_cli("recommend", "--machine", RTX_3060, "--json")
    data = done.json["data"]
    assert data["role"] is None
    assert [pick["role"] for pick in data["picks"]] == ["chat", "code", "embeddings"]
    assert data["together"]["bytes"] <= data["together"]["memory_bytes"]
    assert all(isinstance(pick["stays_loaded"], bool) for pick in data["picks"])


def test_raspberry_pi_gets_a_small_model(run_cli: RunCli) -> None:
    best = picks_of(run_cli, "--role", "chat", "--machine", "Raspberry Pi 5 8GB")[0]
    assert best["estimate"]["parameters_total"] < 4_000_000_000


def test_autocomplete_gets_a_model_that_inserts(run_cli: RunCli) -> None:
    for pick in picks_of(run_cli, "--autocomplete", "--machine", "24GB VRAM"):
        card, _ = load_catalog().find(pick["model"])
        assert "insert" in card.capabilities


def test_commercial_and_language_filters(run_cli: RunCli) -> None:
    picks = picks_of(
        run_cli, "--role", "chat", "--license", "commercial", "--lang", "fr", "--lang", "de",
        "--machine", "8GB VRAM",
    )  # fmt: skip
    assert picks
    for pick in picks:
        card, _ = load_catalog().find(pick["model"])
        assert pick["commercial_use"] == "yes"
        assert speaks(card, "fr") == speaks(card, "de") == "yes"


def test_context_is_the_one_asked_for(run_cli: RunCli) -> None:
    for pick in picks_of(run_cli, "--role", "code", "--num-ctx", "64k", "--machine", "24GB VRAM"):
        assert pick["estimate"]["num_ctx"] == 65536


def test_preferring_speed_never_gives_a_slower_best_pick(run_cli: RunCli) -> None:
    def speed(prefer: str) -> float:
        spec = ("--role", "chat", "--prefer", prefer, "--machine", "M4 16GB")
        decode = picks_of(run_cli, *spec)[0]["estimate"]["speed"]["decode_tokens_per_s"]
        return float(decode["expected"])

    assert speed("speed") >= speed("balance") >= speed("quality")


def test_nothing_fits_ends_with_4(run_cli: RunCli) -> None:
    done = run_cli("recommend", "--role", "chat", "--num-ctx", "1000000", "--machine", "8GB VRAM")
    assert done.exit_code == 4
    assert done.stdout == ""
    assert "no model in the catalog serves chat" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--role", "astrology"), ("--lang", "Klingon"), ("--role", "chat", "--autocomplete"),
     ("--prefer", "luck"), ("--machine", "a potato")],
)  # fmt: skip
def test_bad_input_is_a_usage_error(run_cli: RunCli, arguments: tuple[str, ...]) -> None:
    done = run_cli("recommend", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


@pytest.mark.parametrize("columns", ["80", "60"])
def test_a_set_with_swapped_roles_stays_in_its_columns(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = run_cli("recommend", "--machine", "CPU only, 4GB RAM", "--prefer", "speed").stdout
    assert "chat and code take turns" in " ".join(shown.split())
    lines = [line for line in shown.splitlines() if not line.startswith("Why: ")]
    assert max(map(len, lines)) <= int(columns)
