"""Versions of servers, and what their errors while pulling and creating mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import OllamaError
from assistant.ollama.chat_errors import ServerBusyError
from assistant.ollama.errors import RequestRefusedError
from assistant.ollama.pull_errors import (
    CreateRefusedError,
    DamagedDownloadError,
    DiskFullError,
    NotInRegistryError,
    RegistryUnreachableError,
    create_error,
    pull_error,
)
from assistant.ollama.server_address import parse_address
from assistant.ollama.versions import (
    MINIMUM_VERSION,
    TESTED_VERSION,
    ServerTooOldError,
    check_version,
    parse_version,
)

TRACES = Path(__file__).parents[1] / "data" / "ollama_traces"
ADDRESS = parse_address("127.0.0.1:11434")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.33.0", (0, 33, 0)),
        ("0.33.0-rc-fb307609", (0, 33, 0)),
        ("0.33.0-rc1", (0, 33, 0)),
        ("v0.6.4", (0, 6, 4)),
        (" 0.12.11\n", (0, 12, 11)),
        ("1.2", (1, 2, 0)),
        ("0.0.0", None),
        ("0.0", None),
        ("", None),
        (None, None),
        ("nonsense", None),
        ("33", None),
        ("dev-0.33.0", None),
    ],
)
def test_versions(text: str | None, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_recorded_servers_version_is_the_tested_one() -> None:
    trace = json.loads((TRACES / "version.json").read_text("utf-8"))
    said = trace["body_json"]["version"]
    assert parse_version(said) == TESTED_VERSION
    assert check_version(said) is None


@pytest.mark.parametrize("text", ["0.33.0", "0.33.7-rc1", "0.34.0", "1.0.0", "v0.33"])
def test_nothing_is_said_of_a_version_that_is_known_to_work(text: str) -> None:
    assert check_version(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "0.32.9",
            "The server is version 0.32.9; placement is computed as 0.33.0 does it, older ones "
            "may differ.",
        ),
        ("0.0.0", "The server's version (0.0.0) is not known to this program."),
        ("", "The server's version (not said) is not known to this program."),
        ("nonsense", "The server's version (nonsense) is not known to this program."),
    ],
)
def test_what_is_said_of_others(text: str, said: str) -> None:
    assert check_version(text) == said


@pytest.mark.parametrize("text", ["0.6.3", "0.1.48", "0.5.13-rc2"])
def test_a_server_that_is_too_old_is_refused(text: str) -> None:
    with pytest.raises(ServerTooOldError) as caught:
        check_version(text)
    assert (
        caught.value.message == f"the Ollama server is version {text}; this needs 0.6.4 or newer."
    )
    assert caught.value.hint is not None


@given(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), st.text(max_size=8))
def test_numbers_come_back_whatever_follows(numbers: tuple[int, int, int], rest: str) -> None:
    tail = f"-{rest}"
    found = parse_version(".".join(map(str, numbers)) + tail)
    assert found == (None if numbers == (0, 0, 0) else numbers)
    if numbers >= MINIMUM_VERSION:
        check_version(".".join(map(str, numbers)))


def recorded(beginning: str) -> list[tuple[str, int, str]]:
    """Return name, status (-1 inside a stream) and text of each recorded error."""
    found = []
    for path in sorted(TRACES.glob(f"{beginning}_*.json")):
        trace: dict[str, Any] = json.loads(path.read_text("utf-8"))
        lines = [line.get("json") or {} for line in trace.get("stream") or ()]
        found += [(path.stem, -1, line["error"]) for line in lines if "error" in line]
        body = trace.get("body_json")
        if isinstance(body, dict) and isinstance(body.get("error"), str):
            found.append((path.stem, trace["status"], body["error"]))
    return found


PULLS = {
    "pull_after_server_restart": DamagedDownloadError,
    "pull_bad_name": RequestRefusedError,
    "pull_direct_docker_registry_no_redirect": RegistryUnreachableError,
    "pull_error_EOF_truncated_part_file": DamagedDownloadError,
    "pull_http_registry_without_insecure": RegistryUnreachableError,
    "pull_http_scheme_without_insecure": RegistryUnreachableError,
    "pull_missing_model": NotInRegistryError,
    "pull_missing_model_nostream": NotInRegistryError,
    "pull_no_network": RegistryUnreachableError,
    "pull_registry_dies_midway": RegistryUnreachableError,
    "pull_registry_down": RegistryUnreachableError,
}


@pytest.mark.parametrize(("name", "status", "said"), recorded("pull"))
def test_recorded_errors_of_pulls(name: str, status: int, said: str) -> None:
    error = pull_error(ADDRESS, "some:model", status, said)
    assert type(error) is PULLS[name]
    assert_is_a_sentence(error)
    assert error.hint or isinstance(error, RequestRefusedError)
    if "registry_no_redirect" in name or "http_" in name:
        assert "network" not in (error.hint or "")


def test_every_recorded_error_of_a_pull_is_in_the_table() -> None:
    assert {name for name, _, _ in recorded("pull")} == set(PULLS)


@pytest.mark.parametrize(("name", "status", "said"), recorded("create"))
def test_recorded_errors_of_creating(name: str, status: int, said: str) -> None:
    error = create_error(ADDRESS, "assistant-chat:next", status, said)
    assert_is_a_sentence(error)
    assert said[:40] in error.message
    assert isinstance(error, CreateRefusedError) == (status not in (500, 503))


def assert_is_a_sentence(error: OllamaError) -> None:
    assert error.exit_code == 3
    assert "Traceback" not in error.message
    assert "\n" not in error.message
    assert "answered 200" not in error.message
    assert len(error.message) < 400


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("write /x/blobs/sha256-1-partial: no space left on device", DiskFullError),
        ("There is not enough space on the disk.", DiskFullError),
        ("write: disk quota exceeded", DiskFullError),
        ('digest mismatch, file must be downloaded again: want sha256:1, got sha256:2',
         DamagedDownloadError),
        ("EOF", DamagedDownloadError),
        (" EOF\n", DamagedDownloadError),
        ('Get "https://registry.ollama.ai/v2/": EOF', RegistryUnreachableError),
        ("context deadline exceeded", RegistryUnreachableError),
        ("dial tcp: lookup registry.ollama.ai: server misbehaving", RegistryUnreachableError),
        ("tls: failed to verify certificate: x509: unknown authority", RegistryUnreachableError),
        ("net/http: TLS handshake timeout", RegistryUnreachableError),
        ("download stalled; retrying", RegistryUnreachableError),
        ("pull model manifest: file does not exist", NotInRegistryError),
        ("server busy, please try again.  maximum pending requests exceeded", ServerBusyError),
        ("something nobody has seen", RequestRefusedError),
        ("", RequestRefusedError),
    ],
)  # fmt: skip
def test_what_a_server_may_say_while_pulling(said: str, kind: type[OllamaError]) -> None:
    error = pull_error(ADDRESS, "some:model", -1, said)
    assert type(error) is kind
    assert_is_a_sentence(error)


def test_what_a_status_says() -> None:
    assert type(pull_error(ADDRESS, "m", 503, "x")) is ServerBusyError
    assert type(create_error(ADDRESS, "m", 503, "x")) is ServerBusyError
    assert type(create_error(ADDRESS, "m", -1, "no space left on device")) is DiskFullError
    refused = pull_error(ADDRESS, "m", 500, "boom")
    assert refused.message == "the Ollama server at http://127.0.0.1:11434 answered 500: boom"
    within = pull_error(ADDRESS, "m", -1, "boom")
    assert within.message == "the Ollama server at http://127.0.0.1:11434 answered: boom"


@given(st.text(max_size=400), st.sampled_from([-1, 400, 404, 500, 502, 503]))
def test_whatever_is_said_becomes_an_error_of_ours(said: str, status: int) -> None:
    for make in (pull_error, create_error):
        error = make(ADDRESS, "m", status, said)
        assert isinstance(error, OllamaError)
        assert len(error.message) < 400
