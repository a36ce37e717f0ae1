"""Words, BM25 and rank fusion: what meets, what is rare, and what does not depend on order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.knowledge import words
from assistant.knowledge.bm25 import Bm25Index, search_indexes
from assistant.knowledge.fusion import fuse_ranks
from assistant.knowledge.passages import Passage

PLAIN = st.text(alphabet="abcdefgh ,.\n", max_size=200)


def passage(text: str, section: str = "", **more: object) -> Passage:
    return Passage(id="", guide="", section=section, text=text, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "group",
    [
        "quantize quantized quantizing quantization quantisation quantizes",
        "embed embeds embedded embedding embeddings",
        "hallucinate hallucinates hallucination hallucinations hallucinating",
        "model models",
        "licence license licences licensed",
        "library libraries",
        "evaluate evaluated evaluating evaluation",
        "run runs",
    ],
)
def test_forms_of_a_word_meet(group: str) -> None:
    assert len({words.stem(word) for word in group.split()}) == 1


@pytest.mark.parametrize("pair", ["cache card", "phase phi", "gemma gem", "bus us"])
def test_different_words_stay_apart(pair: str) -> None:
    first, second = pair.split()
    assert words.stem(first) != words.stem(second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llama3.1:8b", {"llama", "3.1", "8"}),
        ("8GB", {"8gb", "8", "gb"}),
        ("fill-in-the-middle", {"fillinthemiddle", "fill", "middl"}),
        ("what's the best?", {"best"}),
        ("OLLAMA_KV_CACHE_TYPE", {"ollamakvcachetype", "kv", "cach", "typ", "ollama"}),
    ],
)
def test_names_are_words_and_so_are_their_parts(text: str, expected: set[str]) -> None:
    assert expected <= set(words.words_of(text))


def test_words_that_say_nothing_are_left_out() -> None:
    assert words.words_of("what is the, and how do I?") == []


def test_neighbours_are_a_word_together() -> None:
    assert "8gb" in words.query_words("8 gb card")


def test_the_sentence_that_asks_counts_most() -> None:
    weights = words.query_words("I have a walrus at home. What is gguf?")
    assert weights["gguf"] == 1.0
    assert weights["walrus"] == words.ASIDE_WEIGHT
    assert set(words.query_words("walrus and gguf").values()) == {1.0}


def test_a_rare_word_decides() -> None:
    index = Bm25Index([passage("a model and its memory " * 3) for _ in range(50)] + [
        passage("a model and its walrus")
    ])  # fmt: skip
    assert index.search("which model memory has a walrus", 1)[0].index == 50


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("quantizaton", "quantization"),
        ("qauntization", "quantization"),
        ("embeddngs", "embeddings"),
        ("lmstudio", "lm studio and others"),
        ("licence", "the license"),
    ],
)
def test_a_slip_of_the_finger_finds_the_word(query: str, found: str) -> None:
    index = Bm25Index([passage("something else entirely"), passage(found)])
    assert [hit.index for hit in index.search(query, 4)] == [1]


def test_a_known_word_is_not_taken_for_a_near_one() -> None:
    index = Bm25Index([passage("cost"), passage("cast")])
    assert [hit.index for hit in index.search("cast", 4)] == [1]


def test_synonyms_find_and_what_was_written_finds_first() -> None:
    index = Bm25Index([passage("graphics card"), passage("gpu"), passage("nothing here")])
    assert [hit.index for hit in index.search("gpu", 4)] == [1, 0]


def test_a_heading_counts_more_than_the_text() -> None:
    index = Bm25Index([passage("pruning is one way"), passage("one way", section="Pruning")])
    assert index.search("pruning", 1)[0].index == 1


def test_a_listed_question_is_searched() -> None:
    index = Bm25Index([passage("alpha"), passage("beta", asked=("why so slow",))])
    assert [hit.index for hit in index.search("so slow", 4)] == [1]


def test_coverage_is_the_share_of_the_query() -> None:
    index = Bm25Index([passage("walrus and penguin"), passage("walrus"), passage("x")])
    whole, part = index.search("walrus penguin", 4)
    assert whole.coverage == pytest.approx(1.0)
    assert 0 < part.coverage < 1


def test_several_indexes_are_searched_as_one() -> None:
    texts = ["walrus at sea", "penguin and walrus", "a ship", "penguin penguin"]
    together = Bm25Index([passage(text) for text in texts]).search("walrus penguin", 9)
    apart = search_indexes(
        "walrus penguin",
        [Bm25Index([passage(text) for text in texts[:2]]),
         Bm25Index([passage(text) for text in texts[2:]])],
        9,
    )  # fmt: skip
    assert [(2 * n + hit.index, pytest.approx(hit.score)) for n, hit in apart] == [
        (hit.index, hit.score) for hit in together
    ]


@given(st.lists(PLAIN, max_size=8), PLAIN)
def test_a_search_is_sound_for_any_text(texts: list[str], query: str) -> None:
    hits = Bm25Index([passage(text) for text in texts]).search(query, 4)
    assert len(hits) <= 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.score > 0 and 0 <= hit.coverage <= 1 for hit in hits)


@given(st.text(max_size=300))
def test_any_text_has_words_and_none_is_empty(text: str) -> None:
    assert "" not in words.words_of(text)
    assert "" not in words.query_words(text)


@given(st.text(alphabet="abcd", min_size=4, max_size=8), st.data())
def test_near_spellings_go_both_ways(word: str, data: st.DataObject) -> None:
    near = data.draw(st.sampled_from(sorted(set(words.near_spellings(word)))))
    assert word in set(words.near_spellings(near))


RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), min_size=1, max_size=4)


@given(RANKINGS, st.randoms())
def test_fusion_does_not_depend_on_the_order_of_the_rankings(
    rankings: list[list[int]], random: object
) -> None:
    shuffled = list(rankings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fuse_ranks(shuffled) == fuse_ranks(rankings)


@given(RANKINGS)
def test_fusion_keeps_every_item_once(rankings: list[list[int]]) -> None:
    fused = fuse_ranks(rankings)
    assert sorted(fused) == sorted({item for ranking in rankings for item in ranking})


@given(st.lists(st.integers(), unique=True, max_size=10))
def test_one_ranking_stays_as_it_is(ranking: list[int]) -> None:
    assert fuse_ranks([ranking]) == ranking
    assert fuse_ranks([ranking, ranking]) == ranking


def test_being_ranked_twice_beats_being_first_once() -> None:
    assert fuse_ranks([["a", "b"], ["c", "b"]])[0] == "b"
    assert fuse_ranks([["a", "b"], ["c", "b"]], weights=(1.0, 0.0))[0] == "a"
