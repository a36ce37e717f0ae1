"""Folders: the platform's custom, one variable to move them, and the data that comes along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from assistant import paths


def test_one_variable_moves_them_all(own_world: Path) -> None:
    assert paths.data_folder() == own_world / "data"
    assert paths.cache_folder() == own_world / "cache"
    assert paths.config_folder() == own_world / "config"
    assert not own_world.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG base directories are Linux's")
@pytest.mark.parametrize("base", ["", "/somewhere/else", "not/absolute"])
def test_on_linux_they_are_where_platformdirs_says(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASSISTANT_HOME")
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, base)
    if base.startswith("not"):
        assert paths.data_folder() == Path.home() / ".local/share/assistant"
        return
    theirs = platformdirs.PlatformDirs("assistant", appauthor=False)
    assert paths.data_folder() == theirs.user_data_path
    assert paths.cache_folder() == theirs.user_cache_path
    assert paths.config_folder() == theirs.user_config_path


def test_elsewhere_platformdirs_is_asked() -> None:
    program = (
        "import sys; sys.platform = 'darwin'\n"
        "from assistant.paths import data_folder\n"
        "print(data_folder().name, 'platformdirs' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"HOME": "/home/someone"},
    )  # fmt: skip
    assert done.stdout.split() == ["assistant", "True"]


def test_the_guides_and_templates_are_found() -> None:
    assert list(paths.bundled_folder("knowledge").glob("*.md"))
    assert any(paths.bundled_folder("modelfiles").iterdir())
