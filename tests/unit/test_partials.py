"""Interrupted downloads in a models folder, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.models.catalog import load_catalog
from assistant.ollama.partials import (
    SMALL_LAYERS_BYTES,
    PartialDownload,
    kept_bytes,
    read_partials,
)

HEX = "a" * 64
OTHER = "b" * 64


def part(blobs: Path, number: int, text: str | bytes, blob: str = HEX) -> Path:
    path = blobs / f"sha256-{blob}-partial-{number}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def numbers(size: object, completed: object, offset: int = 0) -> str:
    return json.dumps({"N": 0, "Offset": offset, "Size": size, "Completed": completed})


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def test_no_folder_no_partials(tmp_path: Path) -> None:
    assert read_partials(tmp_path / "nowhere") == ()
    (tmp_path / "blobs").write_text("a file")
    assert read_partials(tmp_path) == ()


def test_whole_blobs_and_other_files_are_not_partials(blobs: Path) -> None:
    for name in (f"sha256-{HEX}", f"sha256-{HEX}-partial", "sha256-abc-partial-0", "notes.txt",
                 f"sha256-{HEX.upper()}-partial-0", f"sha256-{HEX}-partial-x"):  # fmt: skip
        (blobs / name).write_text("x")
    assert read_partials(blobs.parent) == ()


def test_the_parts_of_a_blob_are_added_up(blobs: Path) -> None:
    whole = blobs / f"sha256-{HEX}-partial"
    whole.write_bytes(b"")
    parts = [
        part(blobs, 0, numbers(100_000_000, 100_000_000)),
        part(blobs, 1, numbers(100_000_000, 40_000_000, 100_000_000)),
        part(blobs, 2, numbers(53_113_024, 0, 200_000_000)),
    ]
    assert read_partials(blobs.parent) == (
        PartialDownload(f"sha256:{HEX}", 253_113_024, 140_000_000, (whole, *parts)),
    )


def test_several_blobs_are_told_apart(blobs: Path) -> None:
    part(blobs, 0, numbers(10, 5))
    part(blobs, 0, numbers(30, 7), OTHER)
    part(blobs, 1, numbers(30, 8), OTHER)
    found = read_partials(blobs.parent)
    assert [(p.digest[7], p.total_bytes, p.completed_bytes) for p in found] == [
        ("a", 10, 5), ("b", 60, 15),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "[1, 2]", "null", "7", '"Size"', "{}", numbers(None, 1), numbers("9", 1),
        numbers(-1, 0), numbers(10, -1), numbers(1.5, 1), b"\xff\xfe", "[" * 4000,
        numbers(5, 5) * 2, b"\0" * 64,
    ],
)  # fmt: skip
def test_a_damaged_part_is_named_and_not_counted(blobs: Path, text: str | bytes) -> None:
    part(blobs, 0, numbers(100, 60))
    bad = part(blobs, 1, text)
    (found,) = read_partials(blobs.parent)
    assert found.damaged == (bad,)
    assert (found.total_bytes, found.completed_bytes) == (100, 60)
    assert kept_bytes((found,), 100) == 0


def test_a_folder_where_a_part_should_be_is_damage(blobs: Path) -> None:
    bad = blobs / f"sha256-{HEX}-partial-0"
    bad.mkdir()
    (found,) = read_partials(blobs.parent)
    assert (found.damaged, found.total_bytes) == ((bad,), 0)


def test_more_completed_than_there_is_counts_as_whole(blobs: Path) -> None:
    part(blobs, 0, numbers(100, 250))
    assert read_partials(blobs.parent)[0].completed_bytes == 100


def partial(total: int, completed: int, damaged: tuple[Path, ...] = ()) -> PartialDownload:
    return PartialDownload(f"sha256:{HEX}", total, completed, (), damaged)


@pytest.mark.parametrize(
    ("pull", "partials", "kept"),
    [
        (1_000_000, (), 0),
        (1_000_000, (partial(1_000_000, 400_000),), 400_000),
        (1_014_384, (partial(1_000_000, 400_000),), 400_000),
        (999_999, (partial(1_000_000, 400_000),), 0),
        (1_000_001 + SMALL_LAYERS_BYTES, (partial(1_000_000, 400_000),), 0),
        (1_000_000, (partial(1_000_000, 9, (Path("bad"),)),), 0),
        (5_000_000, (partial(1_000_000, 1), partial(5_000_000, 3)), 3),
    ],
)
def test_what_a_pull_has_on_disk_already(
    pull: int, partials: tuple[PartialDownload, ...], kept: int
) -> None:
    assert kept_bytes(partials, pull) == kept


def test_the_small_layers_of_every_model_in_the_catalog_are_that_small() -> None:
    known = [
        tag.download_bytes - tag.model_bytes
        for card in load_catalog().cards
        for tag in card.tags
        if tag.download_bytes and tag.model_bytes and not tag.projector_bytes
    ]
    assert len(known) > 500
    assert max(known) <= SMALL_LAYERS_BYTES


def test_an_interrupted_pull_of_a_real_model_is_counted() -> None:
    tag = load_catalog().find("llama3.1:8b")[1]
    assert tag.model_bytes is not None
    assert tag.download_bytes is not None
    begun = partial(tag.model_bytes, 3_000_000_000)
    assert kept_bytes((begun,), tag.download_bytes) == 3_000_000_000


@given(
    st.lists(st.builds(partial, st.integers(0, 10**6), st.integers(0, 10**6)), max_size=4),
    st.integers(0, 2 * 10**6),
)
def test_no_more_is_kept_than_is_there(found: list[PartialDownload], pull: int) -> None:
    there = [min(p.completed_bytes, p.total_bytes) for p in found]
    whole = tuple(partial(p.total_bytes, n) for p, n in zip(found, there, strict=True))
    assert 0 <= kept_bytes(whole, pull) <= max(there, default=0)
    assert kept_bytes(whole, pull) <= pull
