"""The words of `--machine SPEC`: what they mean, what is assumed, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import MachineSpecError
from assistant.machine.devices import Device, load_devices
from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
from assistant.units import GIB

CARDS = [device for device in load_devices() if device.kind == "discrete"]


def cards(machine: Machine) -> list[tuple[str, float]]:
    """Return name and GiB of every accelerator."""
    return [(a.name, (a.memory_total_bytes or 0) / GIB) for a in machine.accelerators]


def ram(machine: Machine) -> float:
    assert machine.ram.total_bytes is not None
    return machine.ram.total_bytes / GIB


@pytest.mark.parametrize(
    ("spec", "expected", "ram_gib"),
    [
        # the examples of the contract
        ("8GB VRAM", [("GPU with 8 GB", 8)], 16),
        ("RTX 3060 12GB, 32GB RAM", [("RTX 3060", 12)], 32),
        ("2x RTX 3090, 64GB RAM", [("RTX 3090", 24)] * 2, 64),
        ("RX 7900 XTX, 32GB RAM", [("RX 7900 XTX", 24)], 32),
        ("Ryzen 7 5700X, 16GB RAM", [], 16),
        ("CPU only, 16GB RAM", [], 16),
        ("2TB VRAM, 2TB RAM", [("GPU with 2 TB", 2048)], 2048),
        ("RTX 4090 with 20GB free, 64GB RAM", [("RTX 4090", 24)], 64),
        # other ways to say so
        ("rtx3060 12gb 32gb ram", [("RTX 3060", 12)], 32),
        ("12 GB RTX 3060 and 32 GB of RAM", [("RTX 3060", 12)], 32),
        ("RTX 3060 (12GB), 32GB", [("RTX 3060", 12)], 32),
        ("RTX 3060, 12GB VRAM, 32GB RAM", [("RTX 3060", 12)], 32),
        ("NVIDIA GeForce RTX 3060 12 GiB; RAM: 32 GiB", [("RTX 3060", 12)], 32),
        ("VRAM: 8GB, RAM: 32GB", [("GPU with 8 GB", 8)], 32),
        ("vram 8gb ram 32gb", [("GPU with 8 GB", 8)], 32),
        ("8192MB VRAM, 16384 MB RAM", [("GPU with 8 GB", 8)], 16),
        ("8 gigs of vram", [("GPU with 8 GB", 8)], 16),
        ("GPU with 8GB, 16GB RAM", [("GPU with 8 GB", 8)], 16),
        ("24GB", [("GPU with 24 GB", 24)], 32),
        ("32GB RAM", [], 32),
        ("64GB", [], 64),
        ("8GB laptop", [], 8),
        ("laptop with 16GB", [], 16),
        ("no gpu, 16 gigs of ram", [], 16),
        ("RTX 3060", [("RTX 3060", 12)], 16),
        ("RTX 3060 8GB", [("RTX 3060 8GB", 8)], 16),
        ("4060 ti 16g", [("RTX 4060 Ti 16GB", 16)], 32),
        ("4060 ti", [("RTX 4060 Ti 8GB", 8)], 16),
        ("RTX 3080 12GB", [("RTX 3080 12GB", 12)], 16),
        ("RTX 3060, 32GB", [("RTX 3060", 12)], 32),
        ("RTX 3060 32GB", [("RTX 3060", 12)], 32),
        ("RTX 4090 48GB", [("RTX 4090", 48)], 64),
        ("RTX 4060 laptop", [("RTX 4060 Laptop", 8)], 16),
        ("laptop, RTX 4060 8GB, 16GB DDR5", [("RTX 4060 Laptop", 8)], 16),
        ("RTX 4060 laptop 16GB", [("RTX 4060 Laptop", 8)], 16),
        ("two 3090s", [("RTX 3090", 24)] * 2, 64),
        ("dual RTX 4090, 128GB DDR5-6000", [("RTX 4090", 24)] * 2, 128),
        ("RTX 3090 x2", [("RTX 3090", 24)] * 2, 64),
        ("2x3090", [("RTX 3090", 24)] * 2, 64),
        ("2x 3090 48GB total", [("RTX 3090", 24)] * 2, 64),
        ("2x RTX 3090 48GB VRAM, 64GB RAM", [("RTX 3090", 24)] * 2, 64),
        ("mi50 32gb x2", [("Instinct MI50 32GB", 32)] * 2, 128),
        ("3090 + 3060", [("RTX 3090", 24), ("RTX 3060", 12)], 64),
        ("RTX 3090 24GB + RTX 3060 8GB + 64GB RAM", [("RTX 3090", 24), ("RTX 3060 8GB", 8)], 64),
        ("8x80GB", [("GPU with 80 GB", 80)] * 8, 1280),
        ("2x 80GB", [("GPU with 80 GB", 80)] * 2, 320),
        ("4 GPUs with 24GB each", [("GPU with 24 GB", 24)] * 4, 192),
        ("8x H100, 2TB RAM", [("H100 SXM 80GB", 80)] * 8, 2048),
        ("A100 80GB", [("A100 PCIe 80GB", 80)], 160),
        ("EPYC 9554, 512GB RAM", [], 512),
        ("i7-12700K, 32GB DDR4-3200, RTX 3070", [("RTX 3070", 8)], 32),
        ("Raspberry Pi 5 8GB", [], 8),
        ("raspberry pi 4", [], 4),
        ("Intel Mac 16GB", [], 16),
        ("1TB SSD, RTX 3060, 16GB RAM", [("RTX 3060", 12)], 16),
    ],
)
def test_specs_mean_what_they_say(
    spec: str, expected: list[tuple[str, float]], ram_gib: float
) -> None:
    machine = parse_machine(spec)
    assert cards(machine) == expected
    assert ram(machine) == ram_gib
    assert machine.source == "stated"
    assert not machine.unified_memory


@pytest.mark.parametrize(
    ("spec", "name", "gpu_gib", "ram_gib"),
    [
        ("M2 Max 32GB", "Apple M2 Max", 21.33, 32),
        ("mac mini m4 16gb", "Apple M4", 10.67, 16),
        ("16gb m1 air", "Apple M1", 10.67, 16),
        ("M1 Ultra, 64GB unified memory", "Apple M1 Ultra", 48, 64),
        ("M3 Max 128GB", "Apple M3 Max 40-core", 96, 128),
        ("M3 Max 36GB", "Apple M3 Max 30-core", 27, 36),
        ("M4 Pro", "Apple M4 Pro", 16, 24),
        ("macbook pro 64gb", "Apple M4 Pro", 48, 64),
        ("Jetson Orin Nano 8GB", "Jetson Orin Nano 8GB", 7.5, 8),
        ("Jetson AGX Orin 64GB", "Jetson AGX Orin 64GB", 60, 64),
        ("DGX Spark", "NVIDIA GB10 (DGX Spark)", 120, 128),
        ("Ryzen AI Max+ 395 128GB", "Ryzen AI Max+ 395 (Radeon 8060S)", 64, 128),
        ("Ryzen AI Max+ 395 with 96GB VRAM", "Ryzen AI Max+ 395 (Radeon 8060S)", 96, 128),
    ],
)
def test_unified_memory_has_a_limit(spec: str, name: str, gpu_gib: float, ram_gib: float) -> None:
    machine = parse_machine(spec)
    (accelerator,) = machine.accelerators
    assert accelerator.name == name
    assert accelerator.kind == "unified"
    assert (accelerator.memory_total_bytes or 0) / GIB == pytest.approx(gpu_gib, abs=0.01)
    assert ram(machine) == ram_gib
    assert machine.unified_memory
    assert machine.ram.bandwidth_gb_per_s == accelerator.bandwidth_gb_per_s


def test_a_macbook_without_a_chip_is_the_slowest_sold_with_that_memory() -> None:
    machine = parse_machine("macbook 24gb")
    assert machine.accelerators[0].name == "Apple M2"
    assert any("unknown chip" in note for note in machine.assumptions)


def test_integrated_graphics_are_listed_and_not_used() -> None:
    machine = parse_machine("Radeon 780M, 32GB RAM")
    assert [a.name for a in machine.accelerators] == ["Radeon 780M"]
    assert machine.usable_accelerators == ()
    assert not machine.unified_memory
    assert machine.ram.bandwidth_gb_per_s == 89.6
    assert parse_machine("UHD graphics, 16GB RAM").accelerators == ()


@pytest.mark.parametrize(
    ("spec", "gb_per_s", "source"),
    [
        ("CPU only, 16GB DDR4-3200", 51.2, "table"),
        ("CPU only, 16GB DDR5-5600", 89.6, "table"),
        ("CPU only, 64GB DDR4-3200 quad channel", 102.4, "table"),
        ("CPU only, 16GB DDR4-2400 single channel", 19.2, "table"),
        ("CPU only, 16GB DDR5", 89.6, "assumed"),
        ("CPU only, 16GB RAM", 51.2, "assumed"),
        ("CPU only, 16GB RAM, 70 GB/s", 70, "stated"),
        ("Ryzen 7 5700X, 16GB RAM", 51.2, "table"),
        ("Ryzen 9 7950X, 64GB RAM", 83.2, "table"),
        ("CPU: 7800X3D, 32GB RAM", 83.2, "table"),
        ("5800X3D, 32GB RAM", 51.2, "table"),
        ("mini pc 7840HS 64GB", 89.6, "table"),
        ("i5-8400, 16GB RAM", 42.7, "table"),
        ("Core Ultra 7 265K, 32GB RAM", 102.4, "table"),
        ("EPYC 9554, 512GB RAM", 460.8, "table"),
        ("Xeon E5-2683 v4, 64GB RAM", 76.8, "table"),
        ("Intel N100, 16GB RAM", 25.6, "table"),
        ("Raspberry Pi 5 8GB", 17.1, "table"),
    ],
)
def test_ram_bandwidth_is_stated_or_known(spec: str, gb_per_s: float, source: str) -> None:
    machine = parse_machine(spec)
    assert machine.ram.bandwidth_gb_per_s == pytest.approx(gb_per_s)
    assert machine.ram.bandwidth_source == source


def test_figures_of_a_card_come_from_the_table() -> None:
    (card,) = parse_machine("RTX 3060 12GB, 32GB RAM").accelerators
    assert (card.vendor, card.kind, card.backend) == ("nvidia", "discrete", "cuda")
    assert (card.bandwidth_gb_per_s, card.compute_capability) == (360, "8.6")
    assert card.device_class == "nv-ampere"
    assert card.fp32_tflops == 12.74
    (amd,) = parse_machine("RX 7900 XTX").accelerators
    assert (amd.backend, amd.compute_capability) == ("rocm", "gfx1100")
    (arc,) = parse_machine("Arc B580").accelerators
    assert (arc.vendor, arc.backend) == ("intel", "vulkan")


def test_a_card_without_a_name_is_assumed_to_be_typical() -> None:
    machine = parse_machine("8GB VRAM")
    (card,) = machine.accelerators
    assert (card.vendor, card.backend, card.compute_capability) == ("nvidia", "cuda", "8.6")
    assert 250 <= (card.bandwidth_gb_per_s or 0) <= 500
    assert any(note.startswith("The card: NVIDIA") for note in machine.assumptions)


@pytest.mark.parametrize(
    ("spec", "name", "vendor", "backend"),
    [
        ("AMD card with 16GB", "AMD GPU with 16 GB", "amd", "rocm"),
        ("16GB Radeon", "AMD GPU with 16 GB", "amd", "rocm"),
        ("RTX card, 16GB VRAM", "NVIDIA GPU with 16 GB", "nvidia", "cuda"),
        ("nvidia 12gb", "NVIDIA GPU with 12 GB", "nvidia", "cuda"),
        ("Intel Arc card 8GB VRAM", "Intel GPU with 8 GB", "intel", "vulkan"),
        ("AMD Ryzen 7 5700X, 8GB VRAM", "GPU with 8 GB", "nvidia", "cuda"),
    ],
)
def test_the_maker_of_a_card_without_a_name_is_heard(
    spec: str, name: str, vendor: str, backend: str
) -> None:
    (card,) = parse_machine(spec).accelerators
    assert (card.name, card.vendor, card.backend) == (name, vendor, backend)


@pytest.mark.parametrize(
    ("spec", "free_gib"),
    [
        ("RTX 4090 with 20GB free, 64GB RAM", 20),
        ("24GB card with 20GB free", 20),
        ("11GB of 12GB free", 11),
        ("RTX 3060 12GB (11GB free), 32GB RAM (20GB free)", 11),
        ("RTX 3060, 10 GB VRAM free", 10),
        ("M2 Max 32GB with 18GB free", 18),
        ("RTX 3060 12GB", 11.34),
        ("8GB VRAM", 7.52),
        ("RTX 3090", 23.28),
    ],
)
def test_stated_free_memory_wins(spec: str, free_gib: float) -> None:
    machine = parse_machine(spec)
    assert (machine.accelerators[0].memory_free_bytes or 0) / GIB == pytest.approx(
        free_gib, abs=0.01
    )
    assumed = any(note.startswith("Free VRAM") for note in machine.assumptions)
    assert assumed == ("free" not in spec)


def test_stated_free_ram_wins() -> None:
    machine = parse_machine("RTX 3060 12GB (11GB free), 32GB RAM (20GB free)")
    assert machine.ram.available_bytes == 20 * GIB
    assert parse_machine("CPU only, 16GB RAM, 10GB free").ram.available_bytes == 10 * GIB


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("RTX 3060", "RTX 3060: the 12 GB version (there is one with 8 GB)"),
        ("4060 ti", "RTX 4060 Ti 8GB: the 8 GB version (there is one with 16 GB)"),
        ("RTX 3060 12GB", "Free VRAM: 11.3 of 12 GiB, as a desktop leaves it"),
        ("RTX 3060 12GB, 32GB DDR4-3200", "RAM: 28 of 32 GiB available"),
        ("RTX 3060 32GB", "32GB: read as RAM, not as memory of the card"),
        ("12GB", "12GB: read as video memory (VRAM), not RAM"),
        ("M2 Max 32GB", "Apple M2 Max: macOS lets the GPU use 21.3 of 32 GiB"),
        ("32GB RAM", "No graphics card was named: the CPU runs the model"),
        ("RTX 4090 48GB", "RTX 4090: 48 GB as stated; it is sold with 24 GB"),
        ("laptop with RTX 4060", "RTX 4060 Laptop: the laptop version of the card"),
    ],
)
def test_what_was_assumed_is_said(spec: str, sentence: str) -> None:
    assert sentence in parse_machine(spec).assumptions


def test_a_complete_description_assumes_nothing() -> None:
    spec = "RTX 3060 12GB with 11GB free, 32GB DDR4-3200 RAM, 28GB RAM free"
    assert parse_machine(spec).assumptions == ()


@pytest.mark.parametrize(
    ("spec", "part", "hint"),
    [
        ("RTX 3600", "'RTX 3600'", "RTX 3060"),
        ("RTX 3600 12GB, 32GB RAM", "'RTX 3600'", "RTX 3060"),
        ("Arc A780, 16GB RAM", "'Arc A780'", "Arc A"),
        ("16GB VRAM RTX banana", "'RTX banana'", ""),
        ("RTX 3050 Super", "'RTX 3050 Super'", "RTX 3050"),
        ("banana", "'banana'", "Write for example"),
        ("RTX 3060 and a toaster", "'toaster'", "Write for example"),
        ("RTX 3060 12", "'12'", "Write for example"),
        ("", "empty", "Write for example"),
        ("   ", "empty", "Write for example"),
        (",,,", "',,,'", "Write for example"),
        ("0GB VRAM", "'0GB'", ""),
        ("-8GB", "'-8GB'", ""),
        ("RTX 3060 -12GB VRAM", "-12GB", ""),
        ("9999999TB", "'9999999TB'", ""),
        ("9999999TB RAM", "'9999999TB'", ""),
        ("99999x RTX 3090", "99999x", ""),
        ("0x RTX 3090", "'0 x RTX 3090'", ""),
        ("500x RTX 3090", "'500 x RTX 3090'", ""),
        ("RTX 3060 500GB VRAM", "'500GB'", ""),
        ("RTX 3090 with 30GB free", "'30GB'", ""),
        ("16GB RAM with 20GB RAM free", "'20GB'", ""),
        ("16GB RAM, 32GB RAM", "'16GB' and '32GB'", ""),
        ("M2 Max 32GB, 48GB VRAM", "Apple M2 Max", ""),
        ("x" * 2000, "too long", ""),
        ("llama3.1:8b", "llama3", ""),
        ("../../etc/passwd", "etc", ""),
    ],
)
def test_nonsense_is_refused_naming_the_part(spec: str, part: str, hint: str) -> None:
    with pytest.raises(MachineSpecError) as refused:
        parse_machine(spec)
    assert part in refused.value.message
    assert hint in (refused.value.hint or "")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "device", [d for d in load_devices() if d.kind != "cpu"], ids=lambda d: d.name
)
def test_every_device_of_the_table_can_be_described(device: Device) -> None:
    machine = parse_machine(device.name + (", 64GB RAM" if device.vendor != "nvidia" else ""))
    assert [a.name for a in machine.accelerators] == [device.name]
    assert machine.accelerators[0].device_class == device.device_class
    if device.memory_bytes is not None:
        assert machine.accelerators[0].memory_total_bytes == device.memory_bytes


@given(st.integers(min_value=1, max_value=512), st.integers(min_value=1, max_value=512))
def test_more_stated_vram_is_more_memory(first: int, second: int) -> None:
    less, more = sorted((first, second))
    small, large = parse_machine(f"{less}GB VRAM"), parse_machine(f"{more}GB VRAM")
    for one, other in ((small, large),):
        total = [m.accelerators[0].memory_total_bytes or 0 for m in (one, other)]
        free = [m.accelerators[0].memory_free_bytes or 0 for m in (one, other)]
        rams = [m.ram.total_bytes or 0 for m in (one, other)]
        assert total == [less * GIB, more * GIB]
        assert free[0] <= free[1]
        assert rams[0] <= rams[1]


@given(
    st.sampled_from(CARDS),
    st.integers(min_value=1, max_value=8),
    st.integers(min_value=4, max_value=1024),
)
def test_cards_and_ram_are_read_back(device: Device, count: int, ram_gib: int) -> None:
    machine = parse_machine(f"{count}x {device.name}, {ram_gib}GB RAM")
    assert [a.name for a in machine.accelerators] == [device.name] * count
    assert machine.ram.total_bytes == ram_gib * GIB
    assert 0 < (machine.ram.available_bytes or 0) <= ram_gib * GIB
    for accelerator in machine.accelerators:
        assert 0 < (accelerator.memory_free_bytes or 0) < (accelerator.memory_total_bytes or 0)


PIECES = st.sampled_from(
    ["RTX 3060", "3090", "8GB", "VRAM", "RAM", "16gb", "free", "x2", "2x", "M2 Max", "laptop",
     "no gpu", ",", "+", "with", "of", "DDR4-3200", "-", "0", "total", "each", "i7", "A100", "mac",
     "Raspberry Pi 5", "or more", "8x80GB", "(", ")", "GB/s", "50 GB/s", "1e9", "ryzen 5", "²"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=8).map(" ".join)))
def test_any_text_is_a_machine_or_one_clear_error(text: str) -> None:
    message, machine = "", None
    try:
        machine = parse_machine(text)
    except MachineSpecError as refused:
        message = refused.message
    assert (machine is None) == message.endswith(".")
    if machine is not None:
        assert (machine.ram.total_bytes or 0) > 0
        for accelerator in machine.accelerators:
            total, free = accelerator.memory_total_bytes, accelerator.memory_free_bytes
            assert (total is None) == (free is None)
            assert total is None or 0 < (free or 0) <= total
