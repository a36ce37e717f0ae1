"""The device table and finding a device in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.machine.device_names import tokenize
from assistant.machine.devices import (
    DEVICES_FILE,
    Device,
    choose_version,
    devices_as_of,
    find_device,
    load_devices,
    near_devices,
    variants,
)
from assistant.machine.memory_rules import (
    ROCM_TARGETS,
    apple_working_set_bytes,
    available_ram_bytes,
    free_vram_bytes,
    ollama_backend,
    used_by_ollama,
)
from assistant.units import GIB, MIB

TABLE = load_devices()


def test_every_row_obeys_the_schema() -> None:
    schema = json.loads((DEVICES_FILE.parent / "devices.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(DEVICES_FILE.read_text()), schema)


def test_table_holds_each_device_once() -> None:
    assert len(TABLE) == 290
    assert len({device.name for device in TABLE}) == 290
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", devices_as_of())


def test_memory_and_backends_agree_with_the_kind() -> None:
    for device in TABLE:
        assert (device.memory_bytes is not None) == (device.kind == "discrete"), device.name
        assert bool(device.backends) == (device.kind != "cpu"), device.name
        assert (device.vendor == "nvidia") == (device.compute_capability is not None), device.name
        assert (device.vendor == "amd") == (device.gfx is not None), device.name
        if device.memory_bytes is not None:
            assert device.memory_bytes in device.memory_options_bytes, device.name


def test_nothing_of_the_facts_is_copied_whole() -> None:
    keys = set(json.loads(DEVICES_FILE.read_text())["devices"][0])
    assert not keys & {"vram_gb", "bw_gbps", "cls", "agrees_with", "in_measured_data"}


@pytest.mark.parametrize("device", TABLE, ids=lambda d: d.name)
def test_every_name_finds_itself(device: Device) -> None:
    assert find_device(device.name) is device


@pytest.mark.parametrize("device", [d for d in TABLE if d.kind == "discrete"], ids=lambda d: d.name)
def test_every_card_is_found_with_its_brand_and_memory(device: Device) -> None:
    brand = {"nvidia": "NVIDIA GeForce", "amd": "AMD Radeon", "intel": "Intel(R)"}[device.vendor]
    found = find_device(f"{brand} {device.name}", device.memory_bytes)
    assert found is not None
    assert found.memory_bytes == device.memory_bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce RTX 3060", "RTX 3060"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "RTX 3060 Laptop"),
        ("NVIDIA GeForce RTX 3050 6GB Laptop GPU", "RTX 3050 Laptop"),
        ("NVIDIA GeForce RTX 2070 with Max-Q Design", "RTX 2070 Max-Q"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", "RTX 3080 Laptop"),
        ("NVIDIA GeForce RTX 3060 Ti", "RTX 3060 Ti"),
        ("NVIDIA GeForce RTX 4090 D", "RTX 4090 D"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce GTX 1650 with Max-Q Design", "GTX 1650 Max-Q"),
        ("NVIDIA GeForce RTX 5070 Ti", "RTX 5070 Ti"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM 80GB"),
        ("NVIDIA H100 PCIe", "H100 PCIe 80GB"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("NVIDIA GH200 480GB", "GH200 96GB"),
        ("NVIDIA GB10", "NVIDIA GB10 (DGX Spark)"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10G", "A10G"),
        ("Tesla T4", "Tesla T4"),
        ("Tesla V100-SXM2-32GB", "Tesla V100 32GB"),
        ("Tesla P40", "Tesla P40"),
        ("Quadro RTX 8000", "Quadro RTX 8000"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA RTX A2000 12GB", "RTX A2000 12GB"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA RTX 4000 SFF Ada Generation", "RTX 4000 SFF Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Blackwell"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell"),
        (
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
            "RTX PRO 6000 Blackwell Max-Q",
        ),
        ("NVIDIA TITAN RTX", "TITAN RTX"),
        ("NVIDIA TITAN Xp", "TITAN Xp"),
        ("Orin (nvgpu)", "Jetson Orin Nano 8GB"),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "RX 7900 XTX"),
        ("AMD Radeon RX 7900 XTX (radeonsi, navi31, LLVM 17.0.6, DRM 3.57)", "RX 7900 XTX"),
        ("AMD Radeon RX 6800 XT", "RX 6800 XT"),
        ("Radeon VII", "Radeon VII"),
        ("AMD Instinct MI300X OAM", "Instinct MI300X"),
        ("AMD Radeon Graphics (RADV GFX1151)", "Ryzen AI Max+ 395 (Radeon 8060S)"),
        ("AMD Ryzen AI Max+ 395 w/ Radeon 8060S", "Ryzen AI Max+ 395 (Radeon 8060S)"),
        ("AMD RYZEN AI MAX+ PRO 395 w/ Radeon 8060S", "Ryzen AI Max+ 395 (Radeon 8060S)"),
        ("Radeon 8060S Graphics", "Ryzen AI Max+ 395 (Radeon 8060S)"),
        ("AMD Radeon 780M Graphics (RADV PHOENIX)", "Radeon 780M"),
        ("Intel(R) Arc(TM) A770 Graphics", "Arc A770"),
        ("Intel(R) Arc(tm) B580 Graphics (BMG G21)", "Arc B580"),
        ("Mesa Intel(R) Arc(tm) Graphics (MTL)", "Arc Graphics (Core Ultra 200H)"),
        ("Intel(R) Iris(R) Xe Graphics", "Iris Xe (Alder Lake-P)"),
        ("Apple M1", "Apple M1"),
        ("Apple M2 Max", "Apple M2 Max"),
        ("Apple M3 Ultra", "Apple M3 Ultra"),
        ("Apple M4 Max 40-core", "Apple M4 Max 40-core"),
        ("rtx3060", "RTX 3060"),
        ("RTX4060TI", "RTX 4060 Ti 8GB"),
        ("3090s", "RTX 3090"),
        ("7900xtx", "RX 7900 XTX"),
    ],
)
def test_driver_names_find_their_device(name: str, expected: str) -> None:
    found = find_device(name)
    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize(
    ("name", "memory_gib", "expected"),
    [
        ("NVIDIA GeForce RTX 3060", 11.63, "RTX 3060"),
        ("NVIDIA GeForce RTX 3060", 8, "RTX 3060 8GB"),
        ("NVIDIA GeForce RTX 4060 Ti", 15.6, "RTX 4060 Ti 16GB"),
        ("NVIDIA GeForce RTX 4060 Ti", 7.6, "RTX 4060 Ti 8GB"),
        ("NVIDIA GeForce RTX 3080", 11.8, "RTX 3080 12GB"),
        ("Orin (nvgpu)", 61.4, "Jetson AGX Orin 64GB"),
        ("Orin (nvgpu)", 15.3, "Jetson Orin NX 16GB"),
        ("Orin (nvgpu)", 7.4, "Jetson Orin Nano 8GB"),
        ("Apple M3 Max", 36, "Apple M3 Max 30-core"),
        ("Apple M3 Max", 128, "Apple M3 Max 40-core"),
        ("Apple M4 Max", 64, "Apple M4 Max 40-core"),
        ("Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]", 16, "RX 7900 GRE"),
        ("Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]", 20, "RX 7900 XT"),
        ("Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]", 24, "RX 7900 XTX"),
    ],
)
def test_memory_tells_versions_apart(name: str, memory_gib: float, expected: str) -> None:
    found = find_device(name, round(memory_gib * GIB))
    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "banana",
        "NVIDIA GeForce RTX 3600",
        "NVIDIA GeForce RTX 3050 SUPER",
        "RTX 4090 Ti",
        "AMD Radeon RX 6800M",
        "llvmpipe (LLVM 15.0.7, 256 bits)",
        "Mesa Intel(R) UHD Graphics 620 (KBL GT2)",
        "ASPEED Graphics Family",
        "Microsoft Basic Render Driver",
        "Virtio GPU",
        "Apple M9 Max",
        "GTX",
        "3",
    ],
)
def test_unknown_names_find_nothing(name: str) -> None:
    assert find_device(name) is None


def test_processors_can_be_left_out() -> None:
    assert find_device("Raspberry Pi 5") is not None
    assert find_device("Raspberry Pi 5", accept_cpu=False) is None


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("RTX 3060", [12, 8]),
        ("RTX 3060 8GB", [8, 12]),
        ("4060 ti", [8, 16]),
        ("RTX 5060 Ti 16GB", [16, 8]),
        ("RTX 3080", [10, 12]),
        ("RX 7900 XTX", [24]),
        ("GTX 1060", [6, 3]),
        ("nonsense", []),
    ],
)
def test_variants_share_a_name(name: str, sizes: list[int]) -> None:
    assert [(d.memory_bytes or 0) // GIB for d in variants(name)] == sizes


def test_variants_of_the_a100() -> None:
    assert {(d.memory_bytes or 0) // GIB for d in variants("A100")} == {40, 80}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("RTX 3600", "RTX 3060"),
        ("RTX 4900", "RTX 4090"),
        ("RX 7090 XTX", "RX 7900 XTX"),
        ("GTX 1800 Ti", "GTX 1080 Ti"),
        ("rtx 3060 tie", "RTX 3060 Ti"),
        ("Tesla P400", "Tesla P40"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(typed: str, meant: str) -> None:
    assert meant in near_devices(typed)


@pytest.mark.parametrize("text", ["", "banana", "!!", "a toaster", "0"])
def test_nonsense_is_near_nothing(text: str) -> None:
    assert near_devices(text) == ()


@given(st.text(max_size=60))
def test_no_text_breaks_the_search(text: str) -> None:
    find_device(text)
    near_devices(text)
    for token in tokenize(text):
        assert text[token.start : token.end].lower() == token.text or len(token.text) > 0


@given(st.sampled_from(TABLE), st.integers(min_value=GIB, max_value=512 * GIB))
def test_the_version_nearest_in_memory_is_chosen(device: Device, memory: int) -> None:
    family = variants(device.name) or (device,)
    assert choose_version(family, memory) in family


@pytest.mark.parametrize(
    ("sold_gib", "logged_free_mib"),
    [
        # Free memory before a model was loaded, from llama.cpp and Ollama logs people posted.
        (12, 11798),  # RTX 3060
        (12, 11344),  # RTX 3080 Ti
        (24, 23871),  # RTX 3090
        (24, 23633),  # RTX 4090
        (48, 48280),  # RTX A6000
        (32, 32182),  # Tesla V100
        (96, 96689),  # RTX PRO 6000
    ],
)
def test_assumed_free_memory_is_near_what_was_logged(sold_gib: int, logged_free_mib: int) -> None:
    assert abs(free_vram_bytes(sold_gib * GIB) - logged_free_mib * MIB) < 0.06 * sold_gib * GIB


@pytest.mark.parametrize(("sold_gib", "logged_free_mib"), [(8, 7099), (6, 5223)])
def test_laptop_cards_have_less_free(sold_gib: int, logged_free_mib: int) -> None:
    """RTX 4060 and RTX 3060 Laptop, from logs people posted."""
    free = free_vram_bytes(sold_gib * GIB, laptop=True)
    assert abs(free - logged_free_mib * MIB) < 0.04 * sold_gib * GIB


@pytest.mark.parametrize(("sold_gib", "logged_free_mib"), [(16, 15092), (48, 45217)])
def test_ecc_takes_its_share(sold_gib: int, logged_free_mib: int) -> None:
    free = free_vram_bytes(sold_gib * GIB, ecc_on=True)
    assert abs(free - logged_free_mib * MIB) < 0.04 * sold_gib * GIB


@given(st.integers(min_value=2**20, max_value=2**50), st.integers(min_value=0, max_value=2**40))
def test_more_memory_never_means_less_of_it_free(total: int, more: int) -> None:
    for rule in (free_vram_bytes, available_ram_bytes, apple_working_set_bytes):
        assert 0 < rule(total) <= rule(total + more) <= total + more


def test_ollama_uses_what_it_is_built_for() -> None:
    def backend(name: str) -> tuple[str | None, bool]:
        device = next(d for d in TABLE if d.name == name)
        return ollama_backend(device), used_by_ollama(device)

    assert backend("RTX 3060") == ("cuda", True)
    assert backend("Tesla K80 (one GPU)") == ("vulkan", False)
    assert backend("RX 7900 XTX") == ("rocm", True)
    assert backend("RX 6700 XT") == ("vulkan", True)
    assert backend("Ryzen AI Max+ 395 (Radeon 8060S)") == ("rocm", True)
    assert backend("Radeon 780M") == ("vulkan", False)
    assert backend("Arc B580") == ("vulkan", True)
    assert backend("Apple M1") == ("metal", True)
    assert backend("Jetson Orin Nano 8GB") == ("cuda", True)
    assert backend("Raspberry Pi 5")[0] is None


def test_description_and_detection_agree_about_ollama() -> None:
    from assistant.machine.detect.apple import metal_working_set_bytes
    from assistant.machine.detect.ollama_support import ROCM_LINUX

    assert ROCM_TARGETS == ROCM_LINUX
    for size in (8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192, 512):
        assert apple_working_set_bytes(size * GIB) == metal_working_set_bytes(size * GIB)


def test_the_build_script_gives_the_shipped_file(tmp_path: Path) -> None:
    """Rows built from a few facts have the shipped fields, aliases and variants."""
    import importlib.util

    path = Path(__file__).parents[2] / "scripts" / "build_devices.py"
    spec = importlib.util.spec_from_file_location("build_devices", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    fact = {
        "name": "RTX 3060 8GB", "vendor": "nvidia", "cls": "nv-ampere", "arch": "Ampere",
        "cc": "8.6", "backends": ["CUDA", "Vulkan"], "vram_gb": 8, "bw_gbps": 240, "note": None,
        "kind": "discrete", "confidence": "checked",
    }  # fmt: skip
    row = script.device_row(fact, fp32_tflops=12.74)
    shipped = next(d for d in json.loads(DEVICES_FILE.read_text())["devices"]
                   if d["name"] == "RTX 3060 8GB")  # fmt: skip
    script.mark_usual([row])
    assert row == shipped
    assert {"rtx 3060", "3060"} <= set(row["aliases"])
