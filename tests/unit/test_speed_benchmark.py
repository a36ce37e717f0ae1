"""The benchmark script for speed takes any file in its format and prints what it scored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "speed.py"

# Published figures: brand-o/normiebench issues 3 and 40, ggml-org/llama.cpp PR 4766.
ROW: dict[str, Any] = {
    "tier": "A",
    "device": "Apple M4",
    "hw": "Mac mini M4",
    "vendor": "apple",
    "cls": "apple-m4",
    "backend": "Metal",
    "vram_gb": None,
    "bw_gbps": 120,
    "model_key": "llama-3.1-8b",
    "params_b": 8.03,
    "active_b": None,
    "is_moe": False,
    "layers": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "te_b": 0.525,
    "quant": "Q4_K_M",
    "file_gib": 4.58,
    "ctx_depth": 64,
    "tg": 20.87,
    "eval_group": "core",
    "split": "dev",
}
M1_MAX = ROW | {"hw": "M1 Max", "cls": "apple-m1", "bw_gbps": 409.6, "tg": 46.2}
RTX_3090 = ROW | {
    "device": "RTX 3090",
    "hw": "RTX 3090",
    "vendor": "nvidia",
    "cls": "nv-ampere",
    "backend": "CUDA",
    "vram_gb": 24,
    "bw_gbps": 936,
    "model_key": "llama-2-7b",
    "params_b": 6.738,
    "te_b": 0.131,
    "kv_heads": 32,
    "quant": "Q4_0",
    "file_gib": 3.56,
    "tg": 121.82,
}


def run_script(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    others = [
        M1_MAX | {"eval_group": "self_reported", "tg": 400.0},
        ROW | {"eval_group": "partial_offload"},
        ROW | {"backend": "CPU", "cls": "cpu-arm", "eval_group": "cpu"},
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"records": [ROW, M1_MAX, RTX_3090, *others]}))
    return file


def test_core_rows_are_scored_and_the_others_only_listed(rows_file: Path) -> None:
    lines = run_script(str(rows_file)).splitlines()
    whole = next(line for line in lines if line.startswith("all core rows")).split()
    assert whole[3:5] == ["3", "3"]
    assert float(whole[5].rstrip("%")) < 30
    assert any(line.startswith("self_reported") for line in lines)
    assert "2 rows have no estimate (cpu, partial_offload)." in lines


def test_every_file_of_the_format_is_taken(tmp_path: Path) -> None:
    unknowns = dict.fromkeys(("layers", "kv_heads", "head_dim", "active_b", "vram_gb"))
    row = RTX_3090 | unknowns | {"cls": "nv-unheard-of", "eval_group": None, "te_b": None}
    file = tmp_path / "list.json"
    file.write_text(json.dumps([row]))
    assert "all core rows" in run_script(str(file), "--markdown")


def test_markdown_tables_have_a_rule_below_their_head(rows_file: Path) -> None:
    lines = run_script(str(rows_file), "--markdown", "--worst", "2").splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("| Core rows")]
    assert heads
    assert all(lines[i + 1].startswith("|---") for i in heads)


def test_refitting_reports_constants_and_the_error_with_devices_left_out(rows_file: Path) -> None:
    said = run_script(str(rows_file), "--fit-dev")
    assert "block_seconds_metal" in said
    assert "devices left out: 3 rows" in said


def test_a_mixture_of_experts_reads_its_active_share(tmp_path: Path) -> None:
    moe = RTX_3090 | {"is_moe": True, "params_b": 30.5, "active_b": 3.35, "file_gib": 17.3}
    dense = moe | {"is_moe": False, "active_b": None}
    file = tmp_path / "moe.json"
    file.write_text(json.dumps([moe | {"tg": 150.0}, dense | {"tg": 45.0}]))
    lines = run_script(str(file)).splitlines()
    whole = next(line for line in lines if line.startswith("all core rows")).split()
    assert float(whole[6].rstrip("%")) < 35
