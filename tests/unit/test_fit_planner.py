"""The memory estimate against what llama.cpp's own planner reports, row by row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assistant.fit.compute_buffer import compute_buffers
from assistant.fit.kv_cache import cache_bytes
from assistant.fit.weights import weights_from_tensors
from assistant.models.architecture import Architecture
from assistant.models.architecture_keys import architecture_from_metadata
from assistant.models.gguf import GgufHeader, read_header

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
PLANNED = json.loads((DATA / "planner.json").read_bytes())
HEADERS = sorted({row["header"] for row in PLANNED["cache_and_compute"]})
WHOLE = PLANNED["whole_model"]
FAMILIES = json.loads((DATA / "planned" / "planner.json").read_bytes())["cache_and_compute"]
FAMILY_HEADERS = sorted({row["header"] for row in FAMILIES})


def model(name: str, folder: Path = DATA) -> tuple[Architecture, GgufHeader]:
    header = read_header(folder / "headers" / name)
    return architecture_from_metadata(header.metadata, header.tensors or None), header


def run(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("num_ctx", "num_parallel", "num_batch", "kv_cache_type", "flash_attention")
    return {key: row[key] for key in keys}


@pytest.mark.parametrize("name", HEADERS)
def test_cache_is_exact(name: str) -> None:
    arch, _ = model(name)
    rows = [row for row in PLANNED["cache_and_compute"] if row["header"] == name]
    assert rows
    for row in rows:
        assert cache_bytes(arch, **run(row)).total_bytes == row["cache_bytes"], row


@pytest.mark.parametrize("name", FAMILY_HEADERS)
def test_every_family(name: str) -> None:
    arch, _ = model(name, DATA / "planned")
    for row in FAMILIES:
        if row["header"] != name:
            continue
        assert cache_bytes(arch, **run(row)).total_bytes == row["cache_bytes"], row
        buffers = compute_buffers(arch, **run(row))
        if row["device"] == "gpu":
            assert buffers.gpu_bytes == pytest.approx(row["gpu_compute_buffer_bytes"], rel=0.15)
            assert buffers.host_bytes == pytest.approx(row["host_compute_buffer_bytes"], rel=0.06)
        else:
            assert buffers.cpu_bytes == pytest.approx(row["compute_buffer_bytes"], rel=0.23)


def test_compute_buffers_of_all_families_keep_the_targets() -> None:
    architectures = {name: model(name, DATA / "planned")[0] for name in FAMILY_HEADERS}
    errors = sorted(
        abs(
            compute_buffers(architectures[row["header"]], **run(row)).gpu_bytes
            / row["gpu_compute_buffer_bytes"]
            - 1
        )
        for row in FAMILIES
        if row["device"] == "gpu"
    )
    assert len(architectures) > 80
    assert errors[len(errors) // 2] <= 0.0001
    assert errors[int(0.9 * len(errors))] <= 0.01


def test_compute_buffers_on_the_gpu_keep_their_targets() -> None:
    errors = []
    for row in PLANNED["cache_and_compute"]:
        if row["device"] == "gpu":
            estimate = compute_buffers(model(row["header"])[0], **run(row)).gpu_bytes
            errors.append(abs(estimate / row["gpu_compute_buffer_bytes"] - 1))
    errors.sort()
    assert errors[len(errors) // 2] <= 0.0001
    assert errors[int(0.9 * len(errors))] <= 0.01
    assert errors[-1] <= 0.07


@pytest.mark.parametrize(
    "name",
    ["llama31-8b", "llama2-7b", "qwen3-30b-a3b", "gemma2-9b", "gemma3-12b", "gpt-oss-20b",
     "deepseek-v3-671b", "phi3-mini"],
)  # fmt: skip
def test_compute_buffers_of_attention_models_are_exact(name: str) -> None:
    arch, _ = model(f"{name}.gguf")
    for row in PLANNED["cache_and_compute"]:
        if row["header"] == f"{name}.gguf" and row["device"] == "gpu":
            buffers = compute_buffers(arch, **run(row))
            assert abs(buffers.gpu_bytes - row["gpu_compute_buffer_bytes"]) <= 32
            assert abs(buffers.host_bytes - row["host_compute_buffer_bytes"]) <= 32


def test_compute_buffers_on_the_cpu_are_near() -> None:
    errors = sorted(
        abs(
            compute_buffers(model(row["header"])[0], **run(row)).cpu_bytes
            / row["compute_buffer_bytes"]
            - 1
        )
        for row in PLANNED["cache_and_compute"]
        if row["device"] == "cpu"
    )
    assert errors[len(errors) // 2] <= 0.0001
    assert errors[int(0.9 * len(errors))] <= 0.04


@pytest.mark.parametrize(
    "row", WHOLE, ids=lambda r: f"{r['header']}-{r['num_ctx']}-{r['kv_cache_type']}"
)
def test_whole_models(row: dict[str, Any]) -> None:
    arch, header = model(row["header"])
    weights = weights_from_tensors(header.tensors, block_count=arch.block_count)
    buffers = compute_buffers(arch, **run(row))
    on_gpu = sum(weights.block_bytes) + weights.output_bytes
    on_gpu += weights.token_embedding_bytes if weights.tied else 0
    cache = cache_bytes(arch, **run(row)).total_bytes
    vram = on_gpu + cache + buffers.gpu_bytes
    host = weights.input_bytes + buffers.host_bytes + buffers.output_bytes
    assert on_gpu == row["gpu_weights_bytes"]
    assert cache == row["cache_bytes"]
    if row["kv_cache_type"] == "f16":
        assert vram == row["vram_bytes"]
        assert host == row["host_bytes"]
    else:
        # These rows repeat the f16 compute buffer; the planner itself plans a little less.
        assert vram == pytest.approx(row["vram_bytes"], rel=0.0032)


def test_the_benchmark_prints_its_tables(tmp_path: Path) -> None:
    document = tmp_path / "accuracy.md"
    document.write_text(
        "# Page\n<!-- memory tables: begin -->\nold\n<!-- memory tables: end -->\nend\n"
    )
    command = [sys.executable, "benchmarks/memory.py", str(DATA / "planner.json"), "--markdown"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "| cache | 661 | 661 | 0.00 % |" in shown
    assert "| deepseek-v3:671b |" in shown
    subprocess.run([*command, "--update", str(document)], cwd=ROOT, check=True)
    text = document.read_text()
    assert text.startswith("# Page\n")
    assert text.endswith("end\n")
    assert "old" not in text
    assert shown.strip() in text
    plain = subprocess.run(command[:-1], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "| cache" not in plain.stdout
    assert "cache                                661   661    0.00 %" in plain.stdout
