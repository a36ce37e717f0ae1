"""Where files are: the person's folders, and the data that comes with the program.

Folders follow the platform's custom: the XDG base directories on Linux, platformdirs' answer
elsewhere (its import would take a tenth of the time that `assistant fit` may take).
`ASSISTANT_HOME` moves all of them under one folder, for tests and for portable installs.
Nothing is created here; whoever writes a file creates its folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, Literal

from assistant.errors import FileProblemError

APP_NAME: Final = "assistant"
HOME_VARIABLE: Final = "ASSISTANT_HOME"
USER_CATALOG_NAMES: Final = ("catalog.toml", "catalog.json")
_PACKAGE: Final = Path(__file__).parent
_XDG: Final = {
    "data": ("XDG_DATA_HOME", ".local/share"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "config": ("XDG_CONFIG_HOME", ".config"),
}


def data_folder() -> Path:
    """Return the folder for what must be kept: ledgers, indexes, conversations."""
    return _folder("data")


def cache_folder() -> Path:
    """Return the folder for what can be fetched or computed again."""
    return _folder("cache")


def config_folder() -> Path:
    """Return the folder of the person's own settings and catalog entries."""
    return _folder("config")


def user_catalog_file() -> Path | None:
    """Return the person's own catalog entries: `catalog.toml` or `.json` of the configuration.

    None when there is no such file.
    """
    try:
        folder = config_folder()
    except FileProblemError:
        return None
    for name in USER_CATALOG_NAMES:
        path = folder / name
        if path.is_file():
            return path
    return None


def bundled_folder(name: Literal["knowledge", "modelfiles"]) -> Path:
    """Return the guides or the Modelfile templates that come with the program.

    In an installed package they are in `assistant/bundled/`, in a checkout beside `assistant/`.

    Raises:
        FileProblemError: the installation is incomplete.
    """
    for folder in (_PACKAGE / "bundled" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileProblemError(
        f"the folder {name!r} that belongs to this program is missing.",
        hint="Install the program again.",
    )


def _folder(kind: Literal["data", "cache", "config"]) -> Path:
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser() / kind
    if sys.platform == "linux":
        variable, default = _XDG[kind]
        folder = os.environ.get(variable, "")
        base = Path(folder) if folder.startswith("/") else _home() / default
        return base / APP_NAME
    import platformdirs

    paths = platformdirs.PlatformDirs(APP_NAME, appauthor=False)
    folders = {
        "data": paths.user_data_path,
        "cache": paths.user_cache_path,
        "config": paths.user_config_path,
    }
    return folders[kind]


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise FileProblemError(
            "this account has no home folder.", hint=f"Set {HOME_VARIABLE} to a folder to use."
        ) from error
