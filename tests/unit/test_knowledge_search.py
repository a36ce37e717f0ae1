"""Retrieval as a whole: the questions' passages are found, quickly, by words and by meaning."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from assistant.knowledge import dense
from assistant.knowledge.embedder_choice import ChosenEmbedder
from assistant.knowledge.embedders import load_sentence_transformer
from assistant.knowledge.index import build_index
from assistant.knowledge.notes import add_notes
from assistant.knowledge.search import open_shelf, search_guides
from benchmarks.retrieval import is_found, query_of
from tests.unit.test_embedders import minilm_folder

QUESTIONS = Path(__file__).parent.parent / "data" / "qa" / "questions.json"


def test_words_alone_find_the_passages_of_nine_questions_in_ten() -> None:
    entries = [e for e in json.loads(QUESTIONS.read_text("utf-8")) if e["gold_topics"]]
    found = [is_found(search_guides(query_of(e)), e["gold_topics"]) for e in entries]
    assert sum(found) / len(found) >= 0.9


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "?!",
        "\x00",
        "the of and",
        "x" * 10_000,
        "🦙" * 50,
        " ".join(f"xq{chr(97 + n % 26)}zzw{chr(97 + n // 26)}" for n in range(400)),
    ],
)
def test_any_query_gets_a_result_soon(query: str) -> None:
    start = time.perf_counter()
    result = search_guides(query)
    assert time.perf_counter() - start < 2
    assert len(result.passages) <= 4
    assert result.kind == "bm25"


def test_the_limit_is_kept_and_the_order_is_stable() -> None:
    ten = search_guides("quantization", limit=10).passages
    assert len(ten) == 10
    assert search_guides("quantization", limit=3).passages == ten[:3]
    assert [f.bm25_rank for f in ten] == list(range(1, 11))
    assert search_guides("quantization", limit=0).passages == ()


def test_a_question_of_the_guides_finds_its_section() -> None:
    shelf = open_shelf("bundled")
    assert shelf is not None
    asked = [(p.asked[0], p.id) for p in shelf.passages() if p.asked][::7]
    found = [
        any(f.passage.id == wanted for f in search_guides(question).passages)
        for question, wanted in asked
    ]
    assert sum(found) / len(found) >= 0.97


@pytest.mark.slow
def test_ten_thousand_notes_are_searched_in_a_tenth_of_a_second(tmp_path: Path) -> None:
    shelf = open_shelf("bundled")
    assert shelf is not None
    words = [word for passage in shelf.passages() for word in passage.text.split()]
    generator = random.Random(0)
    for number in range(20):
        sections = (
            f"## Part {n}\n\n{' '.join(generator.choices(words, k=100))}\n" for n in range(500)
        )
        (tmp_path / f"n{number}.md").write_text("\n".join(sections))
    add_notes(tmp_path)
    own = open_shelf("own")
    assert own is not None
    assert own.words.count == 10_000
    search_guides("warm up")
    times = []
    for query in (
        "why is it slow in ram",
        "q4_k_m or q5_k_m on 8gb",
        "the kv cache at 32k context",
    ):
        start = time.perf_counter()
        search_guides(query)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1, times


@pytest.mark.slow
def test_meaning_finds_what_shares_no_word(tmp_path: Path) -> None:
    """With the real MiniLM, on notes: a question in other words than the text."""
    for name, text in {
        "pets": "Our cat sleeps on the sofa all day.",
        "car": "The automobile needs an oil change every spring.",
        "bread": "Bake the loaf for forty minutes at 220 degrees.",
    }.items():
        (tmp_path / f"{name}.txt").write_text(text)
    add_notes(tmp_path)
    shelf = open_shelf("own")
    assert shelf is not None
    embedder = load_sentence_transformer(minilm_folder(), name="minilm")
    chosen = ChosenEmbedder("sentence-transformers", str(minilm_folder()), embedder)
    record = build_index("own", shelf.passages(), shelf.fingerprint, chosen)
    dense._embedders[dense._embedder_key(record)] = embedder
    query = "when must I service my vehicle"
    assert search_guides(query, origin="own", dense="off").passages == ()
    result = search_guides(query, origin="own", dense="load")
    assert (result.kind, result.embedder, result.note) == ("hybrid", "minilm", None)
    assert result.passages[0].passage.name.endswith("/car")
    assert (result.passages[0].bm25_rank, result.passages[0].dense_rank) == (None, 1)
