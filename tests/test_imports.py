"""The import graph: rooms in one direction, one door per outside thing, one place that prints.

Read from the source with `ast`, so that imports inside functions and under TYPE_CHECKING
count as well.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "assistant"
MODULES = sorted(PACKAGE.rglob("*.py"))

EVERYWHERE = {"units", "errors", "paths", "config", "files", "lock"}
# Which rooms may use which:
# units, errors <- machine, models <- fit <- recommend <- provision <- agent, doctor <- cli.
MAY_USE: dict[str, set[str]] = {
    "units": set(),
    "errors": set(),
    "paths": {"units", "errors"},
    "config": {"units", "errors"},
    "files": {"errors"},
    "lock": {"errors"},
    "machine": set(),
    "models": set(),
    "fit": {"machine", "models"},
    "ollama": {"machine", "models"},
    "knowledge": {"ollama"},
    "recommend": {"machine", "models", "fit"},
    "provision": {"machine", "models", "fit", "recommend", "ollama"},
    "doctor": {"machine", "models", "fit", "recommend", "ollama", "provision", "knowledge"},
    "agent": {"machine", "models", "fit", "recommend", "ollama", "knowledge", "provision"},
    "chat": {
        "machine",
        "models",
        "fit",
        "recommend",
        "ollama",
        "knowledge",
        "agent",
        "provision",
    },
    "cli": {
        "machine",
        "models",
        "fit",
        "recommend",
        "ollama",
        "knowledge",
        "agent",
        "provision",
        "doctor",
        "chat",
    },
}
# Outside package -> where it may be imported. A package that is not here may be nowhere.
DOORS: dict[str, tuple[str, ...]] = {
    "chromadb": ("knowledge/index.py",),
    "click": ("cli/",),
    "httpx": ("ollama/client.py",),
    "langchain_core": ("agent/loop.py",),
    "matplotlib": ("cli/fit_plot.py",),
    "ollama": ("ollama/client.py",),
    "numpy": ("knowledge/onnx_embedder.py",),
    "onnxruntime": ("knowledge/onnx_embedder.py",),
    "platformdirs": ("paths.py",),
    "prompt_toolkit": ("cli/chat_prompt",),
    "psutil": ("machine/detect/",),
    "pynvml": ("machine/detect/",),
    "pypdf": ("knowledge/pdf.py",),
    "rich": ("cli/markdown.py", "cli/output.py", "cli/pull_progress.py", "cli/chat_screen.py"),
    "sentence_transformers": ("knowledge/embedders.py",),
    "tokenizers": ("knowledge/onnx_embedder.py",),
}
WORLD = {"datetime", "http", "os", "random", "shutil", "socket", "subprocess", "tempfile", "time",
         "urllib"}  # fmt: skip
PURE = ("fit/", "recommend/")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a file imports, wherever it does."""
    package = ("assistant", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*parts, *((node.module or "").split(".") if node.module else ())))
            if base == "assistant":
                names = (alias.name for alias in node.names if alias.name != "__version__")
                yield from (f"assistant.{name}" for name in names)
            else:
                yield base


def room_of(module: str) -> str:
    """Return the room of `assistant.room.module`; the top itself has none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_rooms_use_only_the_rooms_before_them(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = parts[0]
    if room in {"__init__", "__main__"}:
        return
    allowed = MAY_USE[room] | {room, ""} | (EVERYWHERE if room not in EVERYWHERE else set())
    used = {room_of(name) for name in imports(path) if name.split(".")[0] == "assistant"}
    assert used <= allowed, f"{name_of(path)} uses {sorted(used - allowed)}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in MODULES}
    assert rooms - {"__init__", "__main__"} <= set(MAY_USE)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_outside_thing_has_one_door(path: Path) -> None:
    for module in imports(path):
        top = module.split(".")[0]
        if top == "assistant" or top in sys.stdlib_module_names:
            continue
        assert top in DOORS, f"{name_of(path)} imports {top}, which has no door"
        assert name_of(path).startswith(DOORS[top]), f"{name_of(path)} is not the door to {top}"


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith(PURE)], ids=name_of)
def test_pure_rooms_know_no_clock_no_disk_and_no_network(path: Path) -> None:
    assert not WORLD & {module.split(".")[0] for module in imports(path)}
    calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    assert "open" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_place_prints(path: Path) -> None:
    if name_of(path) == "cli/output.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            assert node.id != "print", f"{name_of(path)}:{node.lineno} prints"
        if isinstance(node, ast.Attribute):
            shown = ast.unparse(node)
            assert shown not in {"click.echo", "click.secho", "sys.stdout", "sys.stderr"}, shown


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(p) for p in MODULES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []
