"""A wheel built from this checkout and installed elsewhere works: the data files are in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked package; its dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         "--target", str(folder), str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def tracked(*folders: str) -> set[str]:
    """Return the files below these folders that a wheel should have."""
    found: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(path.relative_to(ROOT).as_posix())
    return found


def test_everything_is_in_it(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    bundled = {f"assistant/bundled/{name}" for name in tracked("knowledge", "modelfiles")}
    assert bundled <= inside
    assert tracked("assistant") <= inside
    assert {"assistant/py.typed"} <= inside
    assert not [name for name in inside if not name.startswith("assistant/")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["hardware"],
        ["fit", "llama3.1:8b", "--machine", "8GB VRAM", "--offline"],
        ["recommend", "--machine", "RTX 3060 12GB, 32GB RAM"],
        ["ask", "what runs on my 8GB card?"],
    ],
    ids=" ".join,
)
def test_it_works_away_from_the_checkout(elsewhere: Path, arguments: list[str]) -> None:
    done = run_there(elsewhere, "-m", "assistant", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_guides_are_found_away_from_the_checkout(elsewhere: Path) -> None:
    program = (
        "import assistant, json\n"
        "from assistant.paths import bundled_folder\n"
        "print(json.dumps([assistant.__file__, str(bundled_folder('knowledge')),"
        " len(list(bundled_folder('knowledge').glob('*.md')))]))"
    )
    package, folder, guides = json.loads(run_there(elsewhere, "-c", program).stdout)
    assert Path(package).is_relative_to(elsewhere)
    assert Path(folder).is_relative_to(elsewhere)
    assert guides == len(list((ROOT / "knowledge").glob("*.md"))) > 0


def run_there(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OLLAMA_HOST": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
