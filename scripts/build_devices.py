"""Build `assistant/machine/data/devices.json` from published device facts.

    python scripts/build_devices.py FACTS.json --as-of 2026-11-21

FACTS.json lists GPUs, SoCs and memory systems (memory, peak bandwidth, architecture, how many
independent tables agree). Memory variants, nicknames and FP32 throughput come from
`device_additions.py` and `device_compute.csv` beside this script, which name their sources.
The result is one compact JSON file whose fields are described in `devices.schema.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from device_additions import (  # noqa: E402
    ECC_ON,
    EXTRA_ALIASES,
    MEMORY_OPTIONS,
    RARER_VERSION,
    USUAL_VERSION,
)

from assistant.machine.device_names import BRAND_WORDS, tokenize  # noqa: E402

SCHEMA_VERSION = 1
GIB = 1024**3
INTEGRATED_CLASSES = ("igpu-amd", "igpu-intel")
LAPTOP_WORDS = ("laptop", "mobile", "notebook", "max q", "with max q", "m")
# GeForce and Radeon numbers that people use alone.
_LONE_NUMBERS = r"10[5-8]0|16[56]0|20[5-8]0|[345]0[5-9]0|90[67]0|[67][6789]00"
SERIES_WORDS = ("rtx", "gtx", "rx", "quadro", "tesla", "instinct", "arc", "titan", "pro", "radeon")


def main() -> None:
    """Read the facts, write the data file, and say how many devices it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facts", type=Path, help="JSON file with the published device facts")
    parser.add_argument("--as-of", required=True, help="date the facts were gathered, YYYY-MM-DD")
    parser.add_argument(
        "--output", type=Path, default=HERE.parent / "assistant/machine/data/devices.json"
    )
    arguments = parser.parse_args()
    facts = json.loads(arguments.facts.read_text(encoding="utf-8"))["devices"]
    table = build(facts, as_of=arguments.as_of, compute=read_compute(HERE / "device_compute.csv"))
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in table.pop("devices"))
    head = json.dumps(table, separators=(",", ":"))[1:-1]
    arguments.output.write_text(f'{{{head},"devices":[\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(facts)} devices written to {arguments.output}")


def build(facts: list[dict[str, Any]], *, as_of: str, compute: dict[str, float]) -> dict[str, Any]:
    """Return the whole data file: its head and one row for each device of the facts."""
    names = {row["name"] for row in facts}
    for table in (MEMORY_OPTIONS, EXTRA_ALIASES, dict.fromkeys(ECC_ON), compute):
        unknown = set(table) - names
        if unknown:
            raise SystemExit(f"additions name devices that the facts do not hold: {unknown}")
    rows = [device_row(row, fp32_tflops=compute.get(row["name"])) for row in facts]
    mark_usual(rows)
    return {"schema_version": SCHEMA_VERSION, "as_of": as_of, "devices": rows}


def device_row(fact: dict[str, Any], *, fp32_tflops: float | None) -> dict[str, Any]:
    """Return one row of the data file in our own fields; unknown values are null."""
    name, vendor, code = fact["name"], fact["vendor"], fact["cc"]
    memory = fact["vram_gb"]
    options = MEMORY_OPTIONS.get(name, (memory,) if memory else ())
    return {
        "name": name,
        "vendor": "other" if fact["kind"] == "cpu" else vendor,
        "kind": "integrated" if fact["cls"] in INTEGRATED_CLASSES else fact["kind"],
        "memory_bytes": memory * GIB if memory else None,
        "memory_options_bytes": [size * GIB for size in options],
        "bandwidth_gb_per_s": fact["bw_gbps"],
        "compute_capability": code if vendor == "nvidia" else None,
        "gfx": code if vendor == "amd" else None,
        "architecture": fact["arch"],
        "device_class": fact["cls"],
        "backends": [b.lower() for b in fact["backends"] if b != "CPU"],
        "fp32_tflops": fp32_tflops,
        "ecc_on": name in ECC_ON,
        "usual": True,
        "confidence": fact["confidence"],
        "notes": fact["note"],
        "aliases": sorted(set(aliases_of(name, fact["kind"]))),
    }


def aliases_of(name: str, kind: str) -> Iterator[str]:
    """Yield the token sequences that name this device, lower-case, without brand words."""
    yield " ".join(token.text for token in tokenize(name))
    yield from (" ".join(t.text for t in tokenize(a)) for a in EXTRA_ALIASES.get(name, ()))
    if kind == "cpu":
        base = name.partition("(")[0]
        yield " ".join(t.text for t in tokenize(base) if t.text not in ("amd", "intel"))
        return
    base = re.sub(r"\s+\d+GB$", "", name.partition("(")[0].strip())
    words = [t.text for t in tokenize(base) if t.text not in BRAND_WORDS - {"radeon"}]
    if len(words) == 1 and words[0] in SERIES_WORDS:
        return
    for variant in laptop_variants(words):
        rest = variant
        yield " ".join(rest)
        while rest[0] in SERIES_WORDS and stands_alone(rest[1:]):
            rest = rest[1:]
            yield " ".join(rest)


def laptop_variants(words: list[str]) -> Iterator[list[str]]:
    """Yield `words`, and for a laptop GPU each way of saying laptop."""
    yield words
    if words[-1] == "laptop":
        for word in LAPTOP_WORDS:
            yield [*words[:-1], *word.split()]
    if words[-2:] == ["max", "q"]:
        yield [*words[:-2], "with", "max", "q"]


def stands_alone(words: list[str]) -> bool:
    """Say whether `words` still name a device when the series word before them is dropped.

    `4060 ti`, `a6000`, `7900 xtx` and `w7900` do; `580` (RX), `970` (GTX), `4000` (Quadro RTX)
    and `vii` could be anything.
    """
    if not words:
        return False
    first = words[0]
    if first in SERIES_WORDS:
        return any(any(c.isdigit() for c in word) for word in words[1:])
    if first[0].isalpha():
        return any(c.isdigit() for c in first)
    if len(words) > 1 and words[1] in ("ti", "super", "xt", "xtx", "gre", "ada", "sff"):
        return True
    return re.fullmatch(_LONE_NUMBERS, first) is not None


def mark_usual(rows: list[dict[str, Any]]) -> None:
    """Mark, among devices that share an alias, the one that is meant when nothing else is said."""
    for row in rows:
        suffixed = re.search(r" \d+GB$", row["name"]) is not None
        row["usual"] = row["name"] in USUAL_VERSION or (
            not suffixed and row["name"] not in RARER_VERSION
        )


def read_compute(path: Path) -> dict[str, float]:
    """Return the published FP32 TFLOPS by device."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return {row["name"]: float(row["fp32_tflops"]) for row in rows}


if __name__ == "__main__":
    main()
