"""Versions that do not exist of families that do: `llama 7`, `gemma 9`, `qwen 12`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

BRANDS: Final = ("llama", "qwen", "gemma", "phi", "granite", "falcon", "olmo")
"""Makers' names whose versions are numbers written behind the name."""

_VERSION: Final = re.compile(
    rf"\b({'|'.join(BRANDS)})[ -]?v?(\d{{1,2}}(?:\.\d)?)"
    r"(?![\d.]*\s?(?:b\b|m\b|x\d|k\b|gb))(?![\w.])",
    re.IGNORECASE,
)


def find_unknown_version(families: Iterable[str], text: str) -> str | None:
    """Return a version in `text` that no family of the catalog has (`Llama 7`), or None.

    `families` are the names of the families that exist; a version counts as known when a
    family's name begins with it (`qwen 3` with qwen3.5, `phi 1` with phi-1).
    """
    known = {re.sub(r"[^a-z0-9.]", "", family.lower()) for family in families}
    for match in _VERSION.finditer(text):
        brand, version = match[1].lower(), match[2]
        if version in {"1", "1.5"} or any(name.startswith(f"{brand}{version}") for name in known):
            continue
        return f"{match[1].capitalize()} {version}"
    return None
