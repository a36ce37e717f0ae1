"""The edge of the doctor on file trees: downloads, folders, swap, power, variables, proxies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from assistant.doctor.observe import World, observe
from assistant.doctor.observe_system import (
    find_partials,
    kept_variables,
    observe_disk,
    observe_system,
    proxies,
    with_data_folder,
)
from assistant.doctor.records import DiskSeen, PartialDownload, ProxySeen
from assistant.units import MIB
from tests.support.doctor_scenes import computer

BLOB = "sha256-" + "a5" * 32
OTHER = "sha256-" + "94" * 32


def part(size: int, done: int) -> str:
    """Return a part file as Ollama writes it (pull_after_server_restart of the traces)."""
    return json.dumps({"N": 0, "Offset": 0, "Size": size, "Completed": done}) + "\n"


def test_unfinished_downloads_and_the_damaged_one(tmp_path: Path) -> None:
    files = {
        f"{BLOB}-partial": "",
        f"{BLOB}-partial-0": "",
        f"{BLOB}-partial-1": part(100, 40),
        f"{BLOB}-partial-2": '{"N": 2',
        f"{OTHER}-partial": "",
        f"{OTHER}-partial-0": part(98_362_432, 1_000),
        f"{OTHER}-partial-10": part(50, 50),
        "sha256-" + "11" * 32: "a finished one",
        "sha256-short-partial": "",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert set(find_partials(tmp_path)) == {
        PartialDownload(BLOB, 40, 100, broken_parts=2),
        PartialDownload(OTHER, 1_050, 98_362_482, broken_parts=0),
    }
    assert find_partials(tmp_path / "none") == ()


@pytest.mark.parametrize("content", ["[]", "7", "null", '{"Size": "x", "Completed": 1}', "\x00"])
def test_any_part_file_that_is_no_part_counts_as_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{BLOB}-partial-0").write_text(content)
    assert find_partials(tmp_path) == (PartialDownload(BLOB, 0, None, 1),)


def test_the_models_folder_of_the_running_server(tmp_path: Path) -> None:
    folder = tmp_path / "srv/ollama"
    (folder / "manifests/registry.ollama.ai").mkdir(parents=True)
    disk = observe_disk(Path("/"), {"OLLAMA_MODELS": str(folder)}, tmp_path, uid=os.getuid())
    assert (disk.models_path, disk.exists, disk.has_manifests) == (str(folder), True, True)
    assert (disk.can_read, disk.server_can_write) == (True, True)
    assert disk.free_bytes is not None


def test_the_home_of_the_server_and_not_ours(tmp_path: Path) -> None:
    (tmp_path / "theirs/.ollama/models/manifests").mkdir(parents=True)
    disk = observe_disk(tmp_path, {"HOME": str(tmp_path / "theirs")}, tmp_path / "ours")
    assert disk.models_path == str(tmp_path / "theirs/.ollama/models")
    assert disk.has_manifests is False


@pytest.mark.parametrize(
    ("uid_of_server", "mode", "allowed"),
    [
        ("own", 0o755, True),
        ("own", 0o555, False),
        (0, 0o555, True),
        (64_001, 0o755, False),
        (64_001, 0o777, True),
        (64_001, 0o775, None),
        (None, 0o755, None),
    ],
)
def test_who_may_write_to_the_models(
    tmp_path: Path, uid_of_server: int | str | None, mode: int, allowed: bool | None
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    folder.chmod(mode)
    uid = folder.stat().st_uid if uid_of_server == "own" else uid_of_server
    if uid_of_server == "own" and uid == 0:
        os.chown(folder, 64_002, -1)
        uid = 64_002
    assert not isinstance(uid, str)
    disk = observe_disk(Path("/"), {"OLLAMA_MODELS": str(folder)}, tmp_path, uid=uid)
    assert disk.server_can_write is allowed


def test_our_own_folder_need_not_exist_yet(tmp_path: Path) -> None:
    disk = with_data_folder(DiskSeen(), tmp_path / "not/there")
    assert (disk.data_path, disk.data_can_write) == (str(tmp_path / "not/there"), True)


def test_swap_and_power(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("SwapTotal: 8388608 kB\nSwapFree: 6291456 kB\n")
    supply(tmp_path, "AC", type="Mains", online="0")
    supply(tmp_path, "BAT0", type="Battery", status="Discharging")
    supply(tmp_path, "mouse", type="Battery", status="Discharging", scope="Device")
    (tmp_path / "sys/firmware/acpi").mkdir(parents=True)
    (tmp_path / "sys/firmware/acpi/platform_profile").write_text("low-power\n")
    seen = observe_system(tmp_path)
    assert (seen.swap_total_bytes, seen.swap_used_bytes) == (8192 * MIB, 2048 * MIB)
    assert (seen.on_battery, seen.profile) == (True, "low-power")
    supply(tmp_path, "USB", type="USB", online="1")
    assert observe_system(tmp_path).on_battery is False


def supply(root: Path, name: str, **values: str) -> None:
    """Write a power supply as /sys shows it."""
    folder = root / "sys/class/power_supply" / name
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in values.items():
        (folder / key).write_text(value + "\n")


def test_a_desktop_has_no_battery(tmp_path: Path) -> None:
    supply(tmp_path, "mouse", type="Battery", status="Discharging", scope="Device")
    assert observe_system(tmp_path).on_battery is None
    assert observe_system(tmp_path).swap_used_bytes is None


def test_only_what_decides_about_models_is_kept_of_an_environment() -> None:
    environ = {
        "OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_API_KEY": "s3cret", "HTTPS_PROXY": "http://u:p@h",
        "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "HF_TOKEN": "hf_x", "OLLAMA_ORIGINS": "h",
    }  # fmt: skip
    assert kept_variables(environ) == {"OLLAMA_KV_CACHE_TYPE": "q8_0", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ProxySeen()),
        ({"http_proxy": "http://p:1"}, ProxySeen(http=True)),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "a, localhost"}, ProxySeen(False, True, True)),
        ({"ALL_PROXY": "socks5://p"}, ProxySeen(True, True)),
        ({"HTTPS_PROXY": " "}, ProxySeen()),
        ({"NO_PROXY": "example.test"}, ProxySeen()),
    ],
)
def test_whether_there_is_a_proxy(environ: dict[str, str], expected: ProxySeen) -> None:
    assert proxies(environ) == expected


def test_looking_where_nothing_is_gives_gaps_and_no_error(tmp_path: Path) -> None:
    world = World(tmp_path, {"OLLAMA_HOST": "127.0.0.1:1"}, "linux")
    seen = observe(computer(), world=world)
    assert seen.server.reachable is False
    assert "connection refused" in (seen.server.why or "")
    assert (seen.models, seen.loaded) == (None, None)
    assert seen.server.how_to_start


def test_a_damaged_ledger_is_a_gap(tmp_path: Path, own_world: Path) -> None:
    folder = own_world / "data"
    folder.mkdir(parents=True)
    for name in ("ledger.json", "ledger.previous.json"):
        (folder / name).write_text("{")
    seen = observe(computer(), world=World(tmp_path, {"OLLAMA_HOST": "127.0.0.1:1"}, "linux"))
    assert [gap.what for gap in seen.gaps] == ["the ledger"]
    assert "damaged" in seen.gaps[0].why


def test_an_address_that_is_none(tmp_path: Path) -> None:
    seen = observe(None, world=World(tmp_path, {"OLLAMA_HOST": "ftp://x"}, "linux"))
    assert seen.server.reachable is False
    assert "ftp" in (seen.server.why or "")


def test_offline_asks_no_server_elsewhere(tmp_path: Path) -> None:
    world = World(tmp_path, {"OLLAMA_HOST": "192.0.2.7"}, "linux")
    seen = observe(None, offline=True, world=world)
    assert seen.server.reachable is None
    assert "--offline" in (seen.server.why or "")
    assert seen.environment.source == "unknown"
