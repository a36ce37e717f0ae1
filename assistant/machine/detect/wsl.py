"""What WSL, Linux inside Windows, keeps from sight.

A WSL2 guest shows no display adapters on its PCI bus. NVIDIA's library is mapped into
/usr/lib/wsl/lib and answers as on Linux; AMD and Intel GPUs are reached through /dev/dxg,
which none of Ollama's backends uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistant.machine.detect.files import exists
from assistant.machine.records import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from assistant.machine.records import Accelerator


def wsl_gaps(
    root: Path, kind: str | None, accelerators: Sequence[Accelerator]
) -> tuple[Unavailable, ...]:
    """Return what cannot be seen from inside WSL; () outside of it or when a GPU answered.

    `kind` is the container kind (`wsl1`, `wsl2`).
    """
    if kind not in ("wsl1", "wsl2") or accelerators:
        return ()
    if kind == "wsl1":
        return (Unavailable("GPUs", "WSL 1 does not pass GPUs through"),)
    if not exists(root / "dev/dxg"):
        return (Unavailable("GPUs", "this WSL has no GPU passed through (/dev/dxg is missing)"),)
    return (
        Unavailable(
            "GPUs", "inside WSL only NVIDIA GPUs can be seen; run this in Windows for the others"
        ),
    )
