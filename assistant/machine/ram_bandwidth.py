"""Peak bandwidth of system memory, from the kind of RAM or from the processor's name.

Bandwidth is transfers per second x 8 bytes x channels (a channel is 64 bits). What a
processor supports is its maker's published maximum memory speed; a machine may run slower
modules, so a table value is a ceiling, and `assistant hardware --measure` beats it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from assistant.machine.devices import find_device

#: What a bare generation name is taken for: the usual modules of desktops and laptops.
_USUAL_TRANSFERS: Final = {
    "ddr2": 800, "ddr3": 1600, "lpddr3": 1866, "ddr4": 3200, "lpddr4": 3733, "lpddr4x": 4267,
    "ddr5": 5600, "lpddr5": 6400, "lpddr5x": 7500,
}  # fmt: skip

#: Maximum memory speed by processor series, as AMD and Intel publish it: kind, MT/s, channels.
#: Where a series takes two kinds (Intel's 12th to 14th generation run DDR4 or DDR5), desktops
#: are taken for the slower one. Order matters: the narrower pattern comes first.
_SERIES: Final[tuple[tuple[str, tuple[str, int, int]], ...]] = (
    (r"threadripper pro [579]\d{3}", ("ddr4", 3200, 8)),
    (r"threadripper 7\d{3}", ("ddr5", 5200, 4)),
    (r"threadripper 3\d{3}", ("ddr4", 3200, 4)),
    (r"threadripper", ("ddr4", 2666, 4)),
    (r"epyc 9\d{3}", ("ddr5", 4800, 12)),
    (r"epyc 7\d{2}1", ("ddr4", 2666, 8)),
    (r"epyc", ("ddr4", 3200, 8)),
    (r"ryzen ai \d", ("ddr5", 5600, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?9\d{3}", ("ddr5", 5600, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?[78]\d[3-9]\d\w", ("ddr5", 5600, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?[78]\d{3}", ("ddr5", 5200, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?6\d{3}", ("ddr5", 4800, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?[345]\d{3}", ("ddr4", 3200, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?2\d{3}", ("ddr4", 2933, 2)),
    (r"(?:ryzen|r)\s?[3579] (?:pro )?1\d{3}", ("ddr4", 2666, 2)),
    (r"core ultra [579] 2\d\dv", ("lpddr5x", 8533, 2)),
    (r"core ultra [579] 2", ("ddr5", 6400, 2)),
    (r"core ultra", ("ddr5", 5600, 2)),
    (r"core [3579] 1\d\d", ("ddr5", 5200, 2)),
    (r"i[3579][ -]?1[234]\d{3}\w*(?:h|hx|u|p)\b", ("ddr5", 4800, 2)),
    (r"i[3579][ -]?1[1234]\d{2,3}", ("ddr4", 3200, 2)),
    (r"i[3579][ -]?10\d{2,3}", ("ddr4", 2666, 2)),
    (r"i[3579][ -]?[89]\d{3}", ("ddr4", 2666, 2)),
    (r"i[3579][ -]?[67]\d{3}", ("ddr4", 2133, 2)),
    (r"i[3579][ -]?[2345]\d{3}", ("ddr3", 1600, 2)),
    (r"xeon.*\be5-?\d{4}\w* ?v4", ("ddr4", 2400, 4)),
    (r"xeon.*\be5-?\d{4}\w* ?v3", ("ddr4", 2133, 4)),
    (r"xeon.*\be5-?\d{4}", ("ddr3", 1600, 4)),
    (r"xeon.*(?:gold|silver|platinum) [3-9]\d[3]\d", ("ddr4", 3200, 8)),
    (r"xeon.*(?:gold|silver|platinum) [3-9]\d[4-6]\d", ("ddr5", 4800, 8)),
    (r"xeon.*(?:gold|silver|platinum)", ("ddr4", 2666, 6)),
    (r"\bn(?:95|97|100|150|200|305)\b", ("ddr4", 3200, 1)),
    (r"snapdragon x", ("lpddr5x", 8448, 2)),
    (r"celeron|pentium|atom", ("ddr4", 2400, 1)),
)


class RamBandwidth(NamedTuple):
    """A bandwidth in GB/s and the memory it stands for, such as `DDR4-3200, two channels`."""

    gb_per_s: float
    memory: str


#: When nothing at all is known: the modules most x86 computers of the last years have.
USUAL: Final = RamBandwidth(51.2, "DDR4-3200, two channels")
#: For machines with data-centre cards: one socket of such a server.
USUAL_SERVER: Final = RamBandwidth(204.8, "DDR4-3200, eight channels")


def bandwidth_of_memory(
    generation: str | None, transfers: int | None, channels: int | None
) -> RamBandwidth:
    """Return the peak bandwidth of a kind of RAM: `ddr4`, 3200, 2 gives 51.2 GB/s.

    Left-out transfers (MT/s) are the generation's usual ones, left-out channels are two.
    """
    kind = (generation or "ddr4").lower()
    rate = transfers or _USUAL_TRANSFERS.get(kind, _USUAL_TRANSFERS["ddr4"])
    width = channels or 2
    memory = f"{kind.upper()}-{rate}, {_number(width)}"
    return RamBandwidth(round(rate * 8 * width / 1000, 1), memory)


def bandwidth_of_cpu(name: str) -> RamBandwidth | None:
    """Return the peak bandwidth of the memory a processor is usually run with; None if unknown.

    The device table wins where it lists the processor; else the maker's maximum for the series.
    """
    if re.fullmatch(r"\d{4}[a-z]\w*", name.lower()):
        name = f"ryzen 7 {name}"  # 5800X3D, 7840HS: only AMD numbers them so
    device = find_device(name)
    if device is not None and device.kind in ("cpu", "integrated", "unified"):
        return RamBandwidth(device.bandwidth_gb_per_s, f"the memory of a {device.name}")
    for pattern, memory in _SERIES:
        if re.search(pattern, name.lower()):
            return bandwidth_of_memory(*memory)
    return None


def _number(channels: int) -> str:
    words = {1: "one channel", 2: "two channels", 4: "four channels", 8: "eight channels"}
    return words.get(channels, f"{channels} channels")
