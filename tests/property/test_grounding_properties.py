"""Grounding holds for every text: nothing unbacked survives, and doing it twice changes nothing."""

from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from assistant.agent.figures import find_figures
from assistant.agent.grounding import ground
from assistant.agent.markdown_units import join_units, read_units
from tests.support import evidence as made

MISS, PICKS, PAIR = made.miss(), made.picks(), made.pair()
ALL = (MISS, PICKS, PAIR)

SENTENCES = [
    "It needs 12.1 GiB.", "It needs 99 GiB.", "Use llama3.1:8b.", "The download is 9 GB.",
    "qwen3.5:4b-q8_0 needs 5.7 GiB.", "Yes, it fits.", "No, it does not.", "Visit evil.com.",
    "- a 16 GB card", "| a | b |", "|---|---|", "| qwen2.5:14b | 9.0 GB |", "```", "Here:", "",
    "Mistral 7B is under MIT.", "About [1] and [9].", "> 5 to 7 tokens/s", "## 12 GB cards",
    "qwen2.5:14b is a 12.1 GB download.", "and 32k tokens of context", "e.g. 5 %", "1. first",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(SENTENCES), max_size=12).map("\n".join),
    st.lists(st.sampled_from(SENTENCES), max_size=12).map(" ".join),
    st.text(alphabet="aA1 .,|`*-\n:kGBQ4_[]()<>/%½１²", max_size=200),
)

UNITS = ("GiB", "GB", "MiB", "tokens", "k tokens", "tokens/s", "%", "B parameters", "GB/s", "")
FORMS = (
    "It needs {}.", "- **{}**", "| x | {} |", "It goes from {} to more.", "`{}`", "({})",
    "qwen2.5:14b: {}", "Between {} and nothing.", "# {}", "x={}", "~{}", "up to {}, no more",
)  # fmt: skip


def amounts() -> set[float]:
    """Every number that any evidence has, as it might be written in any unit."""
    found: set[float] = set()
    for evidence in ALL:
        for facts in evidence.facts.values():
            for fact in facts:
                if isinstance(fact.value, float):
                    units = (1, 1e3, 1e6, 1e9, 2**10, 2**20, 2**30)
                    found |= {fact.value / unit for unit in units}
    return found


KNOWN = sorted(amounts())


def is_far_from_everything(number: float) -> bool:
    return all(abs(number - known) > max(0.15 * known, 0.6) for known in KNOWN)


FAR = [n / 10 for n in range(11, 60_000, 7) if is_far_from_everything(n / 10)]


@given(st.sampled_from(ALL), TEXTS)
def test_never_raises_and_twice_is_once(evidence: object, text: str) -> None:
    once = ground(text, evidence)  # type: ignore[arg-type]
    again = ground(once.text, evidence)  # type: ignore[arg-type]
    assert again.text == once.text
    assert not again.replaced
    assert not again.dropped
    assert once.grounded == bool(once.text)


@given(
    st.sampled_from(ALL),
    st.sampled_from(FAR),
    st.sampled_from(UNITS),
    st.sampled_from(FORMS),
    st.sampled_from(["{:g}", "{:,.1f}", "{:.2f}"]),
    st.sampled_from(["", "It needs 12.1 GiB. ", "Yes: "]),
)
def test_figure_far_from_all_evidence_never_survives(
    evidence: object, number: float, unit: str, form: str, written: str, before: str
) -> None:
    digits = written.format(number)
    shown = ground(before + form.format(f"{digits} {unit}"), evidence).text  # type: ignore[arg-type]
    assert digits not in shown


@given(st.sampled_from(FAR), st.sampled_from("０٠०"))
def test_digits_of_other_scripts_are_read(number: float, zero: str) -> None:
    digits = "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in f"{number:g}")
    assert digits not in ground(f"It needs {digits} GiB.", MISS).text


@given(st.sampled_from(["miss", "picks"]), st.data())
def test_text_of_evidence_sentences_survives_unchanged(name: str, data: st.DataObject) -> None:
    evidence, source = {
        "miss": (MISS, made.MISS_TEXT), "picks": (PICKS, made.PICKS_TEXT)
    }[name]  # fmt: skip
    units = [u for u in read_units(source) if u.kind == "sentence" and not u.text.endswith(":")]
    lead = [u.text for u in units if u.before == ""]
    chosen = data.draw(st.lists(st.sampled_from(lead), min_size=1, max_size=4, unique=True))
    text = "\n\n".join(chosen)
    result = ground(text, evidence)
    assert result.text == text
    assert not result.dropped


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_pieces_joined_are_the_text(text: str) -> None:
    assert join_units(read_units(text)) == text


@given(st.integers(1, 999), st.sampled_from(["GiB", "GB", "tokens/s", "%"]))
def test_figure_is_found_with_its_unit(number: int, unit: str) -> None:
    found = find_figures(f"it is {number} {unit} there")
    assert [f.number for f in found] == [number]
    assert found[0].kind != "number"


@given(st.lists(st.sampled_from(["zorblax:7b", "gpt-4", "Claude 3", "llama9:8b", "Zorb-13B"])))
def test_model_without_evidence_never_survives(names: list[str]) -> None:
    assume(names)
    for name in names:
        text = f"It needs 12.1 GiB. You could take {name} for that."
        assert not re.search(re.escape(name), ground(text, MISS).text, re.IGNORECASE)
