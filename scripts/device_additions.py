"""What the device table needs beyond the published figures: usual memory, variants, nicknames.

Each table names its source. `build_devices.py` merges them into the shipped data file.
"""

from __future__ import annotations

# Memory sizes each chip or board is sold with, smallest first, in GiB (makers' published
# configurations). Chips with unified memory have no memory of their own in the facts.
MEMORY_OPTIONS: dict[str, tuple[int, ...]] = {
    "Apple M1": (8, 16),
    "Apple M1 Pro": (16, 32),
    "Apple M1 Max": (32, 64),
    "Apple M1 Ultra": (64, 128),
    "Apple M2": (8, 16, 24),
    "Apple M2 Pro": (16, 32),
    "Apple M2 Max": (32, 64, 96),
    "Apple M2 Ultra": (64, 128, 192),
    "Apple M3": (8, 16, 24),
    "Apple M3 Pro": (18, 36),
    "Apple M3 Max 30-core": (36, 96),
    "Apple M3 Max 40-core": (48, 64, 128),
    "Apple M3 Ultra": (96, 256, 512),
    "Apple M4": (16, 24, 32),
    "Apple M4 Pro": (24, 48, 64),
    "Apple M4 Max 32-core": (36,),
    "Apple M4 Max 40-core": (48, 64, 128),
    "Apple M5": (16, 24, 32),
    "Apple M5 Pro": (24, 48, 64),
    "Apple M5 Max 32-core": (36,),
    "Apple M5 Max 40-core": (48, 64, 128),
    "NVIDIA GB10 (DGX Spark)": (128,),
    "Jetson Thor T5000": (128,),
    "Jetson AGX Orin 64GB": (64,),
    "Jetson AGX Orin 32GB": (32,),
    "Jetson Orin NX 16GB": (16, 8),
    "Jetson Orin Nano 8GB": (8, 4),
    "Ryzen AI Max+ 395 (Radeon 8060S)": (32, 64, 96, 128),
    "Ryzen AI Max 385 (Radeon 8050S)": (32, 64, 96, 128),
    "Raspberry Pi 5": (8, 2, 4, 16),
    "Raspberry Pi 500+": (16,),
    "Raspberry Pi 4 / 400": (4, 1, 2, 8),
    "RX 580": (8, 4),
    "RX 570": (4, 8),
    "RTX 3080 Laptop": (8, 16),
    "RTX 3050 Laptop": (4, 6),
    "GTX 1050": (2, 3),
}

# Sold with ECC switched on, which takes 1/16 of GDDR memory. nvidia-smi and llama.cpp logs
# that people posted: T4 15360 MiB, A10G 23028, L4 23034, A40 46068, L40S 46068.
ECC_ON = ("Tesla T4", "L4", "L40", "L40S", "A10", "A10G", "A40", "A2", "A16 (one of 4 GPUs)")

# The version meant by a name without its memory, where it is neither the one whose name has no
# suffix nor the smallest: the one that is far more common; and one whose name has no suffix
# but is not meant.
USUAL_VERSION = ("GTX 1060 6GB", "H100 SXM 80GB")
RARER_VERSION = ("H100 NVL",)

# Names people and drivers use that do not follow from the device's own name.
EXTRA_ALIASES: dict[str, tuple[str, ...]] = {
    "NVIDIA GB10 (DGX Spark)": (
        "gb10", "dgx spark", "nvidia gb10", "project digits", "ascent gx10", "grace blackwell gb10",
    ),
    "GB200 (one GPU)": ("gb200",),
    "Jetson Thor T5000": ("jetson thor", "agx thor", "jetson agx thor", "thor t5000", "nvidia thor"),
    "Jetson AGX Orin 64GB": ("agx orin", "jetson agx orin", "orin", "jetson orin"),
    "Jetson AGX Orin 32GB": ("agx orin", "jetson agx orin", "orin", "jetson orin"),
    "Jetson Orin NX 16GB": ("orin nx", "jetson orin nx", "orin", "jetson orin"),
    "Jetson Orin Nano 8GB": (
        "orin nano", "jetson orin nano", "orin nano super", "jetson orin nano super", "orin",
        "jetson orin", "jetson nano super",
    ),
    "Ryzen AI Max+ 395 (Radeon 8060S)": (
        "ryzen ai max 395", "ai max 395", "max 395", "ai max pro 395", "ryzen ai max pro 395",
        "radeon 8060s", "8060s", "strix halo", "gfx1151", "framework desktop", "evo x2", "ai 395",
        "395 max", "ryzen ai max 395 w radeon 8060s", "ryzen ai max pro 395 w radeon 8060s",
        "ryzen 395",
    ),
    "Ryzen AI Max 385 (Radeon 8050S)": (
        "ryzen ai max 385", "ai max 385", "max 385", "ryzen ai max 390", "ai max 390", "max 390",
        "ai max pro 385", "ai max pro 390", "ryzen ai max pro 385", "ryzen ai max pro 390",
        "radeon 8050s", "8050s", "ryzen ai max 385 w radeon 8050s",
        "ryzen ai max 390 w radeon 8050s",
    ),
    "Ryzen Z1 Extreme (780M)": ("ryzen z1 extreme", "z1 extreme", "rog ally", "legion go"),
    "Arc 140V / 130V (Lunar Lake)": ("arc 140v", "arc 130v", "140v", "130v", "lunar lake"),
    "Arc B390 (Panther Lake)": ("arc b390", "b390", "panther lake"),
    "Arc Graphics (Core Ultra 200H)": (
        "arc graphics", "arc graphics 140t", "arc 140t", "140t", "arc 130t", "130t", "meteor lake",
        "arrow lake h",
    ),
    "Iris Xe (Tiger Lake)": ("iris xe tiger lake", "iris r xe"),
    "Iris Xe (Alder Lake-P)": ("iris xe", "iris xe graphics"),
    "Tesla K80 (one GPU)": ("tesla k80", "k80"),
    "A16 (one of 4 GPUs)": ("a16",),
    "GH200 96GB": ("gh200", "grace hopper"),
    "H100 SXM 80GB": ("h100", "h100 80gb hbm3", "h100 hbm3", "h100 sxm5", "h100 sxm"),
    "H100 PCIe 80GB": ("h100", "h100 80gb hbm2e", "h100 hbm2e"),
    "H100 NVL": ("h100",),
    "Instinct MI250X": ("mi250",),
    "H200": ("h200 sxm",),
    "A100 SXM 80GB": ("a100 sxm4", "a100 sxm4 80gb", "a100 sxm"),
    "A100 40GB": ("a100 sxm4", "a100 sxm4 40gb", "a100 pcie", "a100 pcie 40gb"),
    "A100 PCIe 80GB": ("a100 80gb pcie",),
    "Tesla V100 16GB": ("v100 sxm2", "v100 pcie", "tesla v100 sxm2", "tesla v100 pcie"),
    "Tesla V100 32GB": ("v100 sxm2", "v100 pcie", "v100s", "tesla v100 sxm2", "tesla v100 pcie"),
    "Tesla P100 16GB": ("p100 pcie", "tesla p100 pcie", "p100 sxm2", "tesla p100 sxm2"),
    "RTX PRO 6000 Blackwell": ("rtx 6000 pro", "rtx 6000 blackwell", "6000 pro"),
    "RTX 6000 Ada": ("rtx 6000", "6000 ada", "rtx a6000 ada"),
    "Quadro RTX 6000": ("rtx 6000",),
    "RTX 5000 Ada": ("rtx 5000",),
    "Quadro RTX 5000": ("rtx 5000",),
    "RTX 4000 Ada": ("rtx 4000",),
    "Quadro RTX 4000": ("rtx 4000",),
    "Quadro RTX 8000": ("rtx 8000",),
    "RTX 4000 SFF Ada": ("rtx 4000 ada sff", "rtx 4000 sff"),
    "Radeon PRO W7900": ("w7900", "radeon pro w7900 dual slot"),
    "RX Vega 64": ("vega 64", "vega64"),
    "RX Vega 56": ("vega 56", "vega56"),
    "Radeon AI PRO R9700": ("r9700", "ai pro r9700"),
    "TITAN RTX": ("rtx titan",),
    "TITAN Xp": ("titan x pascal",),
    "Instinct MI50 16GB": ("vega 20 mi50",),
    "Apple M3 Max 30-core": ("m3 max",),
    "Apple M3 Max 40-core": ("m3 max",),
    "Apple M4 Max 32-core": ("m4 max",),
    "Apple M4 Max 40-core": ("m4 max",),
    "Apple M5 Max 32-core": ("m5 max",),
    "Apple M5 Max 40-core": ("m5 max",),
    "RTX 5090 D": ("rtx 5090d", "5090 d"),
    "Raspberry Pi 5": ("pi 5", "pi5", "rpi 5", "rpi5", "raspberry pi5", "raspberrypi 5", "raspi 5",
                       "raspberry pi"),
    "Raspberry Pi 500+": ("raspberry pi 500", "pi 500"),
    "Raspberry Pi 4 / 400": ("raspberry pi 4", "pi 4", "pi4", "rpi 4", "rpi4", "raspberry pi 400",
                             "raspi 4", "raspberry pi4", "pi 400"),
    "Cix CD8180/P1 (Orion O6, MS-R1)": ("cd8180", "cix p1", "orion o6", "ms r1"),
    "Radxa Dragon Q8B": ("dragon q8b",),
    "AmpereOne A192-32X (8x DDR5-5200)": ("ampereone a192 32x", "ampereone", "a192 32x"),
}
