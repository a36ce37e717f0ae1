"""Wall time and peak memory of the commands as whole processes, beside `import click`.

    python benchmarks/startup.py [--runs N] [--markdown]

Each command is started N times, turn by turn, so that a busy moment hits all of them. Medians
are printed; the ratio is to `python -c "import click"`, the cheapest program with this frame.
The Ollama server is looked for at a closed port, as on a machine without one. Bytecode is
cached, as after `pip install`, even where the environment forbids Python to write it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Final

MACHINE: Final = "RTX 3060 12GB, 32GB RAM"
BASE: Final = 'python -c "import click"'
COMMANDS: Final = {
    BASE: ["-c", "import click"],
    "assistant --help": ["-m", "assistant", "--help"],
    "assistant hardware": ["-m", "assistant", "hardware"],
    "assistant fit": [
        "-m", "assistant", "fit", "llama3.1:8b", "--num-ctx", "32k", "--machine", MACHINE,
    ],
    "assistant recommend": ["-m", "assistant", "recommend", "--machine", MACHINE],
    "assistant recommend --role code": [
        "-m", "assistant", "recommend", "--role", "code", "--machine", MACHINE,
    ],
    "assistant ask": ["-m", "assistant", "ask", "what runs on my 8GB card?"],
}  # fmt: skip


@dataclass
class Runs:
    """What the runs of one command took."""

    wall_s: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    exit_code: int = 0

    @property
    def median_s(self) -> float:
        """Median wall time in seconds."""
        return statistics.median(self.wall_s)


def measure(arguments: list[str], runs: Runs) -> None:
    """Start one process, wait for it, and add its wall time and peak resident size."""
    environment = {**os.environ, "OLLAMA_HOST": "127.0.0.1:1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    _, status, usage = os.wait4(process.pid, 0)
    runs.wall_s.append(time.perf_counter() - started)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux reports KiB, macOS bytes.
    runs.peak_bytes.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    runs.exit_code = process.returncode


def measure_all(count: int) -> dict[str, Runs]:
    """Return the runs of every command, `count` each, after one that warms the disk cache."""
    found = {name: Runs() for name in COMMANDS}
    for arguments in COMMANDS.values():
        measure(arguments, Runs())
    for _ in range(count):
        for name, arguments in COMMANDS.items():
            measure(arguments, found[name])
    return found


def render(found: dict[str, Runs], *, markdown: bool) -> str:
    """Return the table: median and best wall time, ratio to the base, median peak memory."""
    base = found[BASE].median_s
    rows = [("command", "median ms", "best ms", "ratio", "peak MB", "exit")]
    rows += [
        (
            name,
            f"{runs.median_s * 1000:.0f}",
            f"{min(runs.wall_s) * 1000:.0f}",
            f"{runs.median_s / base:.2f}",
            f"{statistics.median(runs.peak_bytes) / 1e6:.0f}",
            str(runs.exit_code),
        )
        for name, runs in found.items()
    ]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([lines[0], "|---|--:|--:|--:|--:|--:|", *lines[1:]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Wall time and peak memory of the commands.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    print(render(measure_all(max(1, arguments.runs)), markdown=arguments.markdown))


if __name__ == "__main__":
    main()
