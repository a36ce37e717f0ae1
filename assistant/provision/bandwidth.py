"""How fast this line is, measured with the first megabytes of a file that is to be pulled anyway.

Only the registry that the model would come from is asked, and only for a server on this
computer: another one downloads over a line of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError
from assistant.models.names import parse_model_name
from assistant.units import MB

if TYPE_CHECKING:
    from assistant.models.registry import RegistryReader

PROBE_BYTES: Final = 8 * MB
LEAST_BYTES: Final = 256 * 1024


def measure_bandwidth(reader: RegistryReader, model: str) -> float | None:
    """Return the bytes per second with which a model's file begins to come; None when it does not.

    Reads at most 8 MB of the largest layer, and keeps nothing of it.
    """
    try:
        name = parse_model_name(model)
        found = reader.read(name, with_header=False)
        layer = next((each for each in found.layers if each.digest == found.model_digest), None)
        if layer is None:
            return None
        wanted = min(PROBE_BYTES, layer.bytes)
        began = time.monotonic()
        read = reader.read_range(name, layer, wanted)
        seconds = time.monotonic() - began
    except AssistantError:
        return None
    return len(read) / seconds if len(read) >= LEAST_BYTES and seconds > 0 else None
