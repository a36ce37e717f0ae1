"""Measure the search over the guides: is a passage that a question needs among the first four?

    python benchmarks/retrieval.py QUESTIONS.json                      words, and meaning if it can
    python benchmarks/retrieval.py QUESTIONS.json --embedder off       words only
    python benchmarks/retrieval.py QUESTIONS.json --embedder sentence-transformers --rerank FOLDER
    python benchmarks/retrieval.py --left-out                          the guides' own questions
    python benchmarks/retrieval.py --many 10000                        time with that many notes

The file is a list of objects with `id`, `category`, `question`, `history` and `gold_topics`; a
question counts when it has topics, and is found when a `match` of one of them (a regex) is in the
guide's title, the heading or the text of a retrieved passage. The indexes are built in a folder of
their own (`--home` keeps it), never in the person's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.knowledge.bm25 import Bm25Index
from assistant.knowledge.embedders import Reranker, load_cross_encoder
from assistant.knowledge.guides import load_guides
from assistant.knowledge.notes import add_notes
from assistant.knowledge.passages import passages_of_guides
from assistant.knowledge.search import Dense, SearchResult, search_guides

LIMIT = 4
_FLAGS = re.IGNORECASE | re.DOTALL


def query_of(entry: Mapping[str, Any]) -> str:
    """Return the question, after what the person said before."""
    before = [turn["content"] for turn in entry.get("history", ()) if turn["role"] == "user"]
    return " ".join((*before, entry["question"]))


def is_found(result: SearchResult, topics: Sequence[Mapping[str, str]]) -> bool:
    """Return True when a retrieved passage matches one of the topics."""
    texts = [
        f"{found.passage.guide}\n{found.passage.section}\n{found.passage.text}"
        for found in result.passages
    ]
    return any(re.search(topic["match"], text, _FLAGS) for topic in topics for text in texts)


def measure(
    name: str,
    entries: Sequence[Mapping[str, Any]],
    search: Callable[[str], SearchResult],
    *,
    show_misses: bool,
) -> None:
    """Print recall by category and the time of a search."""
    asked = [entry for entry in entries if entry["gold_topics"]]
    hits: dict[str, list[bool]] = defaultdict(list)
    times: list[float] = []
    misses: list[tuple[str, SearchResult]] = []
    search("warm up")
    for entry in asked:
        start = time.perf_counter()
        result = search(query_of(entry))
        times.append(time.perf_counter() - start)
        hits[entry["category"]].append(is_found(result, entry["gold_topics"]))
        if not hits[entry["category"]][-1]:
            misses.append((f"{entry['id']} {entry['question']}", result))
    whole = [hit for row in hits.values() for hit in row]
    made_by = f" ({result.kind}{', ' + result.embedder if result.embedder else ''})"
    print(f"\n{name}{made_by}: recall@{LIMIT} {statistics.mean(whole):.1%} of {len(whole)}")
    print(f"{_times(times)} a search")
    for category, row in sorted(hits.items()):
        print(f"  {category:<16}{sum(row):>4} of {len(row)}")
    if show_misses:
        for question, missed in misses:
            found = "; ".join(f.passage.section for f in missed.passages)
            print(f"  missed: {question}\n          found: {found}")


def measure_left_out() -> None:
    """Print how often a section is found by a question of its own that is not in the index."""
    passages = passages_of_guides(load_guides().values())
    first = among = count = 0
    for place in range(max(len(passage.asked) for passage in passages)):
        reduced = [
            dataclasses.replace(p, asked=p.asked[:place] + p.asked[place + 1 :]) for p in passages
        ]
        index = Bm25Index(reduced)
        for number, passage in enumerate(passages):
            if place < len(passage.asked):
                found = [hit.index for hit in index.search(passage.asked[place], LIMIT)]
                first += found[:1] == [number]
                among += number in found
                count += 1
    print(f"{len(passages)} sections, {count} questions, each left out in turn, words only:")
    print(
        f"the section itself is first {first / count:.1%}, in the first {LIMIT} {among / count:.1%}"
    )


def measure_many(count: int, queries: Sequence[str]) -> None:
    """Print the time to add `count` passages of notes, and of searches among them."""
    generator = random.Random(0)
    passages = passages_of_guides(load_guides().values())
    words = [word for passage in passages for word in passage.text.split()]
    with tempfile.TemporaryDirectory() as folder:
        per_file = 500
        for number in range(-(-count // per_file)):
            sections = (
                f"## Part {n}\n\n{' '.join(generator.choices(words, k=120))}\n"
                for n in range(min(per_file, count - number * per_file))
            )
            Path(folder, f"notes-{number}.md").write_text("\n".join(sections), encoding="utf-8")
        start = time.perf_counter()
        add_notes(Path(folder))
        added = time.perf_counter() - start
    search_guides("warm up")
    times = []
    for query in queries:
        start = time.perf_counter()
        search_guides(query)
        times.append(time.perf_counter() - start)
    print(f"\n{count} passages of notes, 120 words each: added in {added:.1f} s")
    print(f"{_times(times)} a search, slowest {max(times) * 1000:.0f} ms")


def _times(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return (
        f"median {statistics.median(ordered) * 1000:.1f} ms, 95th percentile {late * 1000:.1f} ms"
    )


def _build(embedder: str) -> bool:
    """Build the index of the guides, and return whether there is an embedder for it."""
    from assistant.errors import AssistantError
    from assistant.knowledge.embedder_choice import find_embedder
    from assistant.knowledge.upkeep import build_indexes

    try:
        chosen = find_embedder(embedder)
    except AssistantError as error:
        print(f"words only: {error.message}")
        return False
    start = time.perf_counter()
    built = build_indexes(chosen)
    took = time.perf_counter() - start
    print(f"index of {built['bundled'].count} passages with {chosen.embedder.name}: {took:.1f} s")
    return True


def main() -> None:
    """Run the measurements that the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("questions", nargs="?", type=Path)
    parser.add_argument("--embedder", default="auto", help="as `assistant guides index`, or off")
    parser.add_argument("--rerank", metavar="MODEL", help="a cross-encoder")
    parser.add_argument("--misses", action="store_true", help="show the questions not found")
    parser.add_argument("--left-out", action="store_true", help="ask the guides' own questions")
    parser.add_argument("--many", type=int, metavar="N", help="time a search among N own passages")
    parser.add_argument("--home", type=Path, help="keep the indexes in this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ASSISTANT_HOME"] = str(arguments.home or scratch)
        start = time.perf_counter()
        search_guides("the first search", dense="off")
        print(f"first search of a process: {(time.perf_counter() - start) * 1000:.0f} ms")
        if arguments.left_out:
            measure_left_out()
        queries = ["why is it slow when layers are in ram", "q4_k_m or q5_k_m for an 8gb card"]
        if arguments.questions:
            entries = json.loads(arguments.questions.read_text("utf-8"))
            queries = [query_of(entry) for entry in entries]
            _measure_questions(entries, arguments)
        if arguments.many:
            measure_many(arguments.many, queries)


def _measure_questions(entries: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    reranker: Reranker | None = None
    if arguments.rerank:
        reranker = load_cross_encoder(arguments.rerank)

    def searching(dense: Dense, reranker: Reranker | None) -> Callable[[str], SearchResult]:
        return lambda query: search_guides(query, LIMIT, dense=dense, reranker=reranker)

    misses = arguments.misses
    measure("words", entries, searching("off", None), show_misses=misses)
    if arguments.embedder != "off" and _build(arguments.embedder):
        measure("words and meaning", entries, searching("load", None), show_misses=misses)
    if reranker:
        dense: Dense = "off" if arguments.embedder == "off" else "load"
        measure("re-ranked", entries, searching(dense, reranker), show_misses=misses)


if __name__ == "__main__":
    main()
