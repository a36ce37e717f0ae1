"""A person's own catalog file corrects and adds models, and its mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import CatalogError
from assistant.models.catalog import Catalog, load_catalog

OWN_MODEL = """
[[models]]
name = "my-model:3b"
title = "My model"
licence = "MIT"
commercial_use = "yes"
parameters_total = 3_100_000_000
context_length = 16384
capabilities = ["tools"]
languages = ["en", "sv"]

[models.architecture]
name = "llama"
block_count = 2
embedding_length = 1024
feed_forward_length = [4096, 2048]
head_count = 16
head_count_kv = 4
key_length = 64
value_length = 64
vocab_size = 32000
tied_embeddings = true

[[models.tags]]
tag = "3b-instruct-q4_K_M"
quantization = "q4_k_m"
model_bytes = 2_000_000_000
aliases = ["3b", "latest"]
"""


def _load(path: Path, text: str) -> Catalog:
    path.write_text(text, encoding="utf-8")
    return load_catalog(path)


def test_a_model_is_added(tmp_path: Path) -> None:
    catalog = _load(tmp_path / "own.toml", OWN_MODEL)
    card, tag = catalog.find("my-model")
    assert (card.title, card.family, card.licence.name) == ("My model", "my-model", "MIT")
    assert card.parameters_active == 3_100_000_000
    assert card.architecture is not None
    assert card.architecture.feed_forward_length == (4096, 2048)
    assert card.architecture.tied_embeddings is True
    assert (tag.quantization, tag.model_bytes, tag.exactness) == ("Q4_K_M", 2_000_000_000, "exact")
    assert catalog.find("my-model:3b")[1] is tag
    assert len(catalog) == len(load_catalog()) + 1


def test_a_known_model_is_corrected(tmp_path: Path) -> None:
    catalog = _load(
        tmp_path / "own.toml",
        """
        [[models]]
        name = "llama3.1:8b"
        languages = ["en", "sv"]
        [[models.tags]]
        tag = "8b-my-iq4_xs"
        quantization = "IQ4_XS"
        download_bytes = 4_450_000_000
        """,
    )
    shipped = load_catalog().card("llama3.1:8b")
    card = catalog.card("llama3.1:8b")
    assert card is not None
    assert shipped is not None
    assert card.languages == ("en", "sv")
    assert card.licence == shipped.licence
    assert card.architecture == shipped.architecture
    assert len(card.tags) == len(shipped.tags) + 1
    assert catalog.find("llama3.1:8b", "iq4_xs")[1].download_bytes == 4_450_000_000
    assert "sv" not in (shipped.languages or ())


def test_json_is_read_as_well(tmp_path: Path) -> None:
    entry = {"name": "x:1b", "parameters_total": 10**9}
    catalog = _load(tmp_path / "own.json", json.dumps({"models": [entry]}))
    card = catalog.card("x:1b")
    assert card is not None
    assert card.licence.commercial_use == "unknown"
    assert card.tags == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("models = 3", ["'models' must be a list"]),
        ("modles = []", ["'modles' is not known"]),
        ("[[models]]\ntitle = 'x'", ["entry 1", "'name'"]),
        ("[[models]]\nname = 'a b'", ["entry 1", "cannot contain"]),
        ("[[models]]\nname = 'hf.co/a/b'", ["model:tag"]),
        ("[[models]]\nname = 'x:1b'\nparams = 3", ["'params' of 'x:1b'"]),
        ("[[models]]\nname = 'x:1b'\nparameters_total = 'many'", ["parameters_total", "x:1b"]),
        ("[[models]]\nname = 'x:1b'\nparameters_total = true", ["parameters_total"]),
        ("[[models]]\nname = 'x:1b'\ncontext_length = 0", ["context_length"]),
        ("[[models]]\nname = 'x:1b'\nlanguages = 'en'", ["languages"]),
        ("[[models]]\nname = 'x:1b'\ntitle = 3", ["title"]),
        ("[[models]]\nname = 'x:1b'\ncommercial_use = 'maybe'", ["commercial_use"]),
        ("[[models]]\nname = 'x:1b'\narchitecture = 3", ["architecture"]),
        ("[[models]]\nname = 'x:1b'\narchitecture = {name = 'llama'}", ["block_count", "missing"]),
        ("[[models]]\nname = 'x:1b'\narchitecture = {layers = 2}", ["architecture.layers"]),
        (
            "[[models]]\nname = 'llama3.1:8b'\narchitecture = {head_count_kv = [8, 8]}",
            ["architecture.head_count_kv"],
        ),
        ("[[models]]\nname = 'x:1b'\ntags = 'q4'", ["tags"]),
        ("[[models]]\nname = 'x:1b'\n[[models.tags]]\nquantization = 'q4'", ["tags[1]", "'tag'"]),
        ("[[models]]\nname = 'x:1b'\n[[models.tags]]\ntag = 'a b'", ["tags[1].tag"]),
        ("[[models]]\nname = 'x:1b'\n[[models.tags]]\ntag = 'a'\nquantization = 'q9'",
         ["tags[1].quantization"]),
        ("[[models]]\nname = 'x:1b'\n[[models.tags]]\ntag = 'a'\npurpose = 'fun'",
         ["tags[1].purpose"]),
        ("[[models]]\nname = 'x:1b'\n[[models.tags]]\ntag = 'a'\nmodel_bytes = -1",
         ["tags[1].model_bytes"]),
        ("[[models]]\nname = 'x:1b'\n[[models.tags]]\ntag = 'a'\nsize = 1", ["tags[1].size"]),
        ("[[models]\nname", ["cannot be read"]),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, text: str, names: list[str]) -> None:
    path = tmp_path / "own.toml"
    with pytest.raises(CatalogError) as caught:
        _load(path, text)
    assert "own.toml" in caught.value.message
    assert caught.value.hint
    for name in names:
        assert name in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.toml"):
        load_catalog(tmp_path / "none.toml")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    with pytest.raises(CatalogError, match="must hold a table"):
        _load(path, "[]")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match="cannot be read"):
        load_catalog(path.with_name("own.json"))
