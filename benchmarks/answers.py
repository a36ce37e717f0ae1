"""Score `assistant ask` on questions: pass rate, failures, retrieval recall, tool calls.

    python benchmarks/answers.py QUESTIONS.json [--category fit ...] [--failures] [--all]
    python benchmarks/answers.py QUESTIONS.json --engine ollama [--model NAME]

The engine is the offline composer, or a model on the configured Ollama server.

The file is a list of objects with `id`, `category`, `question`, `history`, `must`, `must_not`
and `tools`. Every regex of `must` has to match the answer, none of `must_not` may; matching is
`re.search(pattern, text, _FLAGS)` on the answer without Markdown decoration at its start.
Tool-call accuracy: the share of expected calls for which a call of that name was made whose key
arguments agree. Retrieval recall: the share of questions with `gold_topics` for which one of the
first four passages matches a topic.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.agent.answer import answer_question
from assistant.agent.engine import answer_with_engine
from assistant.agent.question import clean_question
from assistant.agent.records import Answer, ToolCall
from assistant.knowledge.search import search_guides
from assistant.units import GIB

_DECORATION = re.compile(r"^(?:[\s#>*_`-]|\[\d+\])+")
_FLAGS = re.IGNORECASE | re.DOTALL
_VRAM_TOLERANCE = 0.07


@dataclass(frozen=True, slots=True)
class Score:
    """How one question went.

    `tools` is the share of expected tool calls that were made, `recalled` whether a passage it
    needs was found (None when it needs none), `changed` what grounding replaced or dropped.
    """

    id: str
    category: str
    question: str
    answer: str
    missing: tuple[str, ...]
    forbidden: tuple[str, ...]
    tools: float | None
    seconds: float
    recalled: bool | None = None
    changed: int = 0

    @property
    def passed(self) -> bool:
        """True when every required pattern matched and no forbidden one did."""
        return not self.missing and not self.forbidden


def score_question(
    entry: Mapping[str, Any], *, engine: str = "offline", model: str | None = None
) -> Score:
    """Answer one question with an engine and return how it went."""
    history = [turn["content"] for turn in entry.get("history", ()) if turn["role"] == "user"]
    start = time.perf_counter()
    if engine == "offline":
        answer = answer_question(entry["question"], history=history)
    else:
        answer = answer_with_engine(entry["question"], history=history, model=model)
    seconds = time.perf_counter() - start
    text = _DECORATION.sub("", answer.text)
    return Score(
        id=entry["id"],
        category=entry["category"],
        question=entry["question"],
        answer=answer.text,
        missing=tuple(p for p in entry["must"] if not re.search(p, text, _FLAGS)),
        forbidden=tuple(p for p in entry["must_not"] if re.search(p, text, _FLAGS)),
        tools=_tool_accuracy(entry.get("tools", ()), answer),
        seconds=seconds,
        recalled=_recall(entry),
        changed=len(answer.grounding.replaced) + len(answer.grounding.dropped),
    )


def _recall(entry: Mapping[str, Any]) -> bool | None:
    """Return whether the first four passages for a question match one of its topics."""
    patterns = [topic["match"] for topic in entry.get("gold_topics", ())]
    if not patterns:
        return None
    passages = search_guides(clean_question(entry["question"]), 4).passages
    texts = [f"{p.passage.guide} {p.passage.section} {p.passage.text}" for p in passages]
    return any(re.search(pattern, text, _FLAGS) for pattern in patterns for text in texts)


def _tool_accuracy(expected: Sequence[Mapping[str, Any]], answer: Answer) -> float | None:
    if not expected:
        return None
    made = [
        any(call.name == want["tool"] and _agrees(want["args"], call) for call in answer.tool_calls)
        for want in expected
    ]
    return sum(made) / len(made)


def _agrees(want: Mapping[str, Any], call: ToolCall) -> bool:
    """Return True when the call's arguments agree with those that the file names."""
    have = call.arguments
    same: dict[str, Callable[[Any], bool]] = {
        "quant": lambda v: str(have.get("quantization", "")).lower() == v.lower(),
        "context": lambda v: have.get("num_ctx") == v,
        "use_case": lambda v: have.get("role") == v,
        "languages": lambda v: set(v) <= set(have.get("languages") or ()),
        "commercial": lambda v: bool(have.get("commercial")) == v,
        "prefer": lambda v: have.get("prefer") == v,
        "model": lambda v: str(have.get("model", "")).split(":")[0] == v.split(":")[0],
        "models": lambda v: set(v) <= set(have.get("models") or ()),
        "vram_gb": lambda v: _same_memory(call, "vram", v),
        "ram_gb": lambda v: _same_memory(call, "ram", v),
        "query": lambda _: True,
    }
    return all(same[key](value) for key, value in want.items())


def _same_memory(call: ToolCall, kind: str, gigabytes: float) -> bool:
    machine = call.result.get("machine") or {}
    if kind == "ram":
        total = (machine.get("ram") or {}).get("total_bytes") or 0
    else:
        total = sum(a.get("memory_total_bytes") or 0 for a in machine.get("accelerators") or ())
    return bool(abs(total - gigabytes * GIB) <= _VRAM_TOLERANCE * gigabytes * GIB)


def print_report(scores: Sequence[Score], *, show_failures: bool, show_all: bool) -> None:
    """Print the table by category, then the failures (or every answer)."""
    by_category: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        by_category[score.category].append(score)
    print(f"{'category':<16}{'passed':>8}{'of':>5}{'tools':>8}{'recall':>8}")
    for category, rows in sorted(by_category.items()):
        tools = [row.tools for row in rows if row.tools is not None]
        recalled = [row.recalled for row in rows if row.recalled is not None]
        share = f"{statistics.mean(tools):.0%}" if tools else "-"
        recall = f"{statistics.mean(recalled):.0%}" if recalled else "-"
        passed = sum(row.passed for row in rows)
        print(f"{category:<16}{passed:>8}{len(rows):>5}{share:>8}{recall:>8}")
    passed = sum(score.passed for score in scores)
    print(f"{'all':<16}{passed:>8}{len(scores):>5}   {passed / len(scores):.1%}")
    tools = [score.tools for score in scores if score.tools is not None]
    recalled = [score.recalled for score in scores if score.recalled is not None]
    if tools:
        print(f"tool calls made as expected: {statistics.mean(tools):.1%}")
    if recalled:
        print(f"a needed passage in the first four: {statistics.mean(recalled):.1%}")
    changed = sum(score.changed for score in scores)
    if changed:
        print(f"unbacked parts of the model's texts replaced or left out: {changed}")
    times = sorted(score.seconds for score in scores)
    print(f"seconds an answer: median {statistics.median(times):.3f}, longest {times[-1]:.3f}")
    for score in scores:
        if show_all or (show_failures and not score.passed):
            state = "pass" if score.passed else "FAIL"
            print(f"\n--- {score.id} {score.category} {state}: {score.question}\n{score.answer}")
            for pattern in score.missing:
                print(f"    missing: {pattern}")
            for pattern in score.forbidden:
                print(f"    forbidden: {pattern}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scorer; the exit code is 0 when every question passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path)
    parser.add_argument("--category", action="append", help="only these categories")
    parser.add_argument("--id", action="append", help="only these questions")
    parser.add_argument("--failures", action="store_true", help="print the failed answers")
    parser.add_argument("--all", action="store_true", help="print every answer")
    parser.add_argument("--engine", choices=("offline", "ollama"), default="offline")
    parser.add_argument("--model", help="the model that writes, with --engine ollama")
    options = parser.parse_args(arguments)
    entries = json.loads(options.questions.read_text("utf-8"))
    chosen = [
        entry
        for entry in entries
        if (not options.category or entry["category"] in options.category)
        and (not options.id or entry["id"] in options.id)
    ]
    if not chosen:
        parser.error("no question of that file was chosen")
    scores = [score_question(entry, engine=options.engine, model=options.model) for entry in chosen]
    print_report(scores, show_failures=options.failures, show_all=options.all)
    return 0 if all(score.passed for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
