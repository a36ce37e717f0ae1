"""Build assistant/machine/detect/gpu_names.json: what the sold name of a PCI GPU is.

The kernel shows only numbers. Sources: `amdgpu.ids` of libdrm (device and revision to
name; MIT licence) for AMD since Polaris, and `pci.ids` (pci-ids.ucw.cz; BSD licence) for
Intel graphics and for AMD devices that libdrm leaves out. Only the facts are taken: names
are shortened to what a shop calls the card, and revisions that agree are folded into "*".

Usage: python scripts/build_gpu_names.py --amdgpu-ids FILE --pci-ids FILE [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path

OUTPUT = Path(__file__).parent.parent / "assistant/machine/detect/gpu_names.json"

# Graphics of the chip families that can run a language model: Polaris (67c0) and later cards,
# Raven Ridge (15dd) and later processors with graphics.
_AMD_OLDEST_CARD = 0x67C0
_AMD_PROCESSORS = range(0x1100, 0x1A00)
_AMD_OLD_PROCESSORS = range(0x1304, 0x1320)
_AMD_OLD_CARDS = range(0x6800, 0x6860)
_INTEL_GRAPHICS = re.compile(r"graphics|\barc\b|\biris\b", re.IGNORECASE)
_NOT_GRAPHICS = re.compile(r"audio|port|memory|82\d\d\d|bridge|controller hub", re.IGNORECASE)
_INTEL_OLDEST = 0x0402


def amd_names(text: str) -> dict[str, dict[str, str]]:
    """Return {device: {revision or "*": name}} from the text of amdgpu.ids."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 3 or not re.fullmatch(r"[0-9A-Fa-f]{4}", fields[0]):
            continue
        number = int(fields[0], 16)
        if number in _AMD_OLD_PROCESSORS or number in _AMD_OLD_CARDS:
            continue
        if number >= _AMD_OLDEST_CARD or number in _AMD_PROCESSORS:
            found.setdefault(fields[0].lower(), {})[fields[1].lower()] = fields[2]
    return {device: _fold(names) for device, names in sorted(found.items())}


def pci_names(text: str, vendor: str) -> dict[str, str]:
    """Return {device: name} of one vendor from the text of pci.ids."""
    found: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        if re.match(r"[0-9a-f]{4} ", line):
            inside = line.startswith(f"{vendor} ")
        match = re.fullmatch(r"\t([0-9a-f]{4})  (.+)", line) if inside else None
        if match:
            found[match[1]] = match[2]
    return found


def intel_names(text: str) -> dict[str, dict[str, str]]:
    """Return {device: {"*": name}} of Intel graphics since Haswell."""
    found = {}
    for device, name in pci_names(text, "8086").items():
        if int(device, 16) < _INTEL_OLDEST or not _INTEL_GRAPHICS.search(name):
            continue
        if _NOT_GRAPHICS.search(name.split("[")[0]) and "[" not in name:
            continue
        bracket = re.search(r"\[(.+)\]", name)
        chip = name.split("[")[0].strip()
        sold = bracket[1] if bracket else name
        if sold in ("Intel Graphics", "Intel Arc Graphics"):
            sold = f"{sold} ({chip})"
        found[device] = {"*": sold if sold.startswith("Intel") else f"Intel {sold}"}
    return dict(sorted(found.items()))


def amd_rest(text: str, known: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return the AMD processors with graphics that amdgpu.ids leaves out."""
    found = {}
    for device, name in pci_names(text, "1002").items():
        bracket = re.search(r"\[(.*(?:Radeon|Instinct).*)\]", name)
        number = int(device, 16)
        fits = number in _AMD_PROCESSORS or 0x6860 <= number < 0x8000
        if bracket and fits and device not in known and number not in _AMD_OLD_PROCESSORS:
            found[device] = {"*": f"AMD {bracket[1]}"}
    return found


def _fold(names: dict[str, str]) -> dict[str, str]:
    usual = Counter(names.values()).most_common(1)[0]
    if usual[1] == len(names):
        return {"*": usual[0]}
    if usual[1] * 2 > len(names):
        rest = {revision: name for revision, name in names.items() if name != usual[0]}
        return {"*": usual[0], **dict(sorted(rest.items()))}
    return dict(sorted(names.items()))


def main() -> None:
    """Read the two files and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--amdgpu-ids", type=Path, required=True)
    parser.add_argument("--pci-ids", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    pci_ids = options.pci_ids.read_text(encoding="utf-8", errors="replace")
    amd = amd_names(options.amdgpu_ids.read_text(encoding="utf-8"))
    amd |= amd_rest(pci_ids, amd)
    table = {"1002": dict(sorted(amd.items())), "8086": intel_names(pci_ids)}
    lines = ",\n".join(
        f'"{vendor}": {{\n'
        + ",\n".join(f' "{device}": {json.dumps(names)}' for device, names in devices.items())
        + "\n}"
        for vendor, devices in table.items()
    )
    options.output.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
