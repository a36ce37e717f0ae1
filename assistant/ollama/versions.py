"""Which servers this program works with.

`MINIMUM_VERSION` is the first whose `/api/show` lists `capabilities` (0.6.4), without which a
chat model cannot be told from an embedding model. The arithmetic of memory and placement is
that of `TESTED_VERSION`, whose runner is llama.cpp with `--fit`; older servers count layers
themselves and may place a model differently.
"""

from __future__ import annotations

import re
from typing import Final

from assistant.errors import OllamaError

Version = tuple[int, int, int]

MINIMUM_VERSION: Final[Version] = (0, 6, 4)
TESTED_VERSION: Final[Version] = (0, 33, 0)
_NUMBERS: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


class ServerTooOldError(OllamaError):
    """The server is older than this program can work with."""

    code = "ollama_too_old"


def parse_version(text: str | None) -> Version | None:
    """Return the numbers of a version such as `0.33.0-rc-fb307609`; None when it has none.

    A server built from source says `0.0.0`, which says nothing: None too.
    """
    match = _NUMBERS.match((text or "").strip())
    if match is None:
        return None
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    return None if version == (0, 0, 0) else version


def check_version(text: str | None) -> str | None:
    """Return what to say about a server's version: a sentence, or None when all is well.

    Raises:
        ServerTooOldError: it is older than `MINIMUM_VERSION`.
    """
    version = parse_version(text)
    if version is None:
        return f"The server's version ({text or 'not said'}) is not known to this program."
    if version < MINIMUM_VERSION:
        raise ServerTooOldError(
            f"the Ollama server is version {text}; this needs {_shown(MINIMUM_VERSION)} or newer.",
            hint="Update Ollama: https://ollama.com/download",
        )
    if version[:2] < TESTED_VERSION[:2]:
        return (
            f"The server is version {text}; placement is computed as {_shown(TESTED_VERSION)} does "
            "it, older ones may differ."
        )
    return None


def _shown(version: Version) -> str:
    return ".".join(map(str, version))
