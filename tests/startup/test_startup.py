"""Starting is cheap: what is imported, and how long it takes beside importing click."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = {
    "assistant.agent", "assistant.config", "assistant.fit", "assistant.machine",
    "assistant.models", "assistant.ollama", "assistant.recommend", "chromadb", "httpx",
    "importlib.resources", "json", "langchain_core", "matplotlib", "numpy", "ollama",
    "platformdirs", "psutil", "pydantic", "pynvml", "rich", "sentence_transformers", "socket",
    "ssl", "torch", "urllib.request",
}  # fmt: skip
# Bytecode is cached as after `pip install`, whatever the environment says.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT |= {"OLLAMA_HOST": "127.0.0.1:1"}
MACHINE = "RTX 3060 12GB, 32GB RAM"


def imported_by(*arguments: str) -> set[str]:
    """Return the modules that one command line imports."""
    program = (
        "import sys\n"
        "from assistant.cli.main import run\n"
        f"run({list(arguments)!r})\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("MODULES ")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["hardware", "--help"],
        ["fit", "--help"],
        ["recommend", "--help"],
        ["ask", "--help"],
        ["guides", "search", "--help"],
        ["setup", "--help"],
        ["chat", "--help"],
        ["doctor", "--help"],
        ["tune", "--help"],
        ["models", "list", "--help"],
        ["modelfile", "lint", "--help"],
        ["rollback", "--help"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported_by(*arguments) & HEAVY == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["hardware"],
        ["hardware", "--machine", MACHINE],
        ["fit", "llama3.1:8b", "--machine", MACHINE],
        ["recommend", "--machine", MACHINE],
        ["ask", "what runs on my 8GB card?"],
        ["guides", "search", "what is gguf"],
    ],
    ids=" ".join,
)
def test_commands_import_no_client_and_no_library_they_do_not_need(arguments: list[str]) -> None:
    needless = {
        "chromadb", "httpx", "langchain_core", "matplotlib", "numpy", "ollama", "pydantic", "rich",
        "sentence_transformers", "torch",
    }  # fmt: skip
    assert imported_by(*arguments) & needless == set()


def wall(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(arguments, capture_output=True, check=True, env=ENVIRONMENT)
    return time.perf_counter() - started


@pytest.mark.slow
def test_help_costs_little_more_than_importing_click() -> None:
    """The goal is 2.5 times; pairs are measured in turn, and a busy machine gets slack."""
    ratios = []
    for _ in range(9):
        base = wall([sys.executable, "-c", "import click"])
        ratios.append(wall([sys.executable, "-m", "assistant", "--help"]) / base)
    assert statistics.median(ratios) <= 2.5 * 1.2


# The kernel counts the starting process's own peak to its child, so a small one must start it.
LAUNCHER = """
import os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - started, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
process.returncode = 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="peak memory needs os.wait4")
@pytest.mark.parametrize(
    ("goal_s", "arguments"),
    [
        (0.25, ["hardware"]),
        (0.25, ["fit", "llama3.1:8b", "--machine", MACHINE]),
        (0.25, ["recommend", "--machine", MACHINE]),
        (1.0, ["ask", "what runs on my 8GB card?"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_are_quick_and_small(goal_s: float, arguments: list[str]) -> None:
    """The best of five runs may take twice the goal, for a busy machine; 80 MB get no slack."""
    times, peaks = [], []
    for _ in range(6):
        command = [sys.executable, "-m", "assistant", *arguments]
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, *command],
            capture_output=True,
            text=True,
            check=True,
            env=ENVIRONMENT,
        )
        wall_s, peak, exit_code = done.stdout.split()
        assert exit_code == "0", done.stderr
        times.append(float(wall_s))
        # Linux reports KiB, macOS bytes.
        peaks.append(int(peak) * (1 if sys.platform == "darwin" else 1024))
    assert min(times[1:]) < goal_s * 2
    assert statistics.median(peaks) < 80e6
