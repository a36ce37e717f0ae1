"""Text to the words that are compared: tokens, stems, synonyms, and near spellings.

Stemming follows the idea of Krovetz and Porter but stays lighter: plural, `-ed`, `-ing` and the
`-ize`/`-ization` family, so that `quantized`, `quantizing` and `quantisation` meet. Words with a
digit (`q4_k_m`, `8gb`, `llama3.1`) are kept as they are, and their parts are words as well.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

FORMAT: Final = 1
"""Changes when the words of a text change, so that stored indexes are rebuilt."""

_WORD: Final = re.compile(r"[^\W_](?:[\w.+#'’/-]*[\w+#])?")
_PART: Final = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_SENTENCE: Final = re.compile(r"\S.*?(?:[?!]+|\.(?=\s)|\n|$)", re.DOTALL)
ASIDE_WEIGHT: Final = 0.5
_STOP: Final = frozenset(
    "a about again all also am an and any anyone are arent as at be because been being but by can "
    "cant could did didnt do does doesnt dont done each even ever for from get gets getting go "
    "got had has have having he hello help her here hey hi his how i id if ill im in into is isnt "
    "it its ive just know let like lot make makes many may maybe me mean means meant might more "
    "most much my need no not now of ok okay on one only or other our out over please put really "
    "say says see should so some something stuff such tell than thanks that thats the their them "
    "then there these they thing things this those to too u up us use used uses using very want "
    "wants was way we well were what whats when where which while who whole why will with wont "
    "work works would yes yet you your youre".split()
)
# Words for the same thing, in the way people and the guides write them.
_ALIKE: Final = (
    "gpu card graphics videocard",
    "vram memory ram",
    "oom memory crash",
    "crash error fail",
    "quant quantization quantize",
    "ctx context window num_ctx",
    "tps t/s tok/s tokens/s speed fast slow",
    "slow speed fast latency performance",
    "finetune tune lora",
    "licence license commercial",
    "commercial business company",
    "pc computer machine laptop desktop",
    "fim infill autocomplete fill-in-the-middle",
    "code coding programming developer python",
    "moe experts mixture",
    "hallucinate invent wrong confident",
    "kv cache",
    "embed embedding vector",
    "rag retrieval documents",
    "docs documents pdf",
    "multilingual language translation",
    "translate translation",
    "summary summarize summarization",
    "story creative writing fiction roleplay",
    "math reasoning stem",
    "vision image picture photo multimodal",
    "uncensored abliterated refuse",
    "nvidia cuda rtx geforce",
    "amd rocm radeon",
    "mac apple silicon metal macbook",
    "pi raspberry arm",
    "download pull install",
    "delete remove rm",
    "rollback revert undo",
    "canary rollout",
    "test evaluate evaluation benchmark",
    "json structured schema",
    "tools function calling",
    "prompt template",
    "system prompt modelfile",
    "private privacy offline telemetry",
    "cpu processor",
    "offload spill layers",
    "settings parameter option environment",
    "temperature sampling",
    "param parameter",
    "weights size",
    "distill distillation",
    "prune pruning",
    "garbage gibberish nonsense",
    "repeat loop",
    "version update upgrade",
    "metadata ledger record",
)
_ONE_SPELLING: Final = {
    "licence": "license", "licences": "license", "licenced": "license", "colour": "color",
    "behaviour": "behavior", "favourite": "favorite", "metre": "meter", "centre": "center",
    "maths": "math", "indices": "index", "indexes": "index", "vertices": "vertex",
    "llms": "llm", "embedding": "embed",
    "embeddings": "embed", "embedded": "embed", "gigs": "gb", "gig": "gb", "gib": "gb", "mib": "mb",
}  # fmt: skip
_VOWELS: Final = frozenset("aeiouy")
_SHORTEST_STEM: Final = 3
_SHORTEST_MISSPELT: Final = 4
_LONGEST_MISSPELT: Final = 30
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def words_of(text: str) -> list[str]:
    """Return the stems of a text's words and of their parts, without words that say nothing."""
    found: list[str] = []
    for token in _WORD.findall(text.lower()):
        found.extend(_words_of_token(token))
    return found


@lru_cache(maxsize=50_000)
def _words_of_token(token: str) -> tuple[str, ...]:
    word = token.replace("’", "'").removesuffix("'s").replace("'", "")
    parts = _PART.findall(word)
    if len(parts) <= 1 and parts == [word]:
        return () if word in _STOP else (stem(word),)
    whole = "".join(character for character in word if character.isalnum() or character == ".")
    words = [whole]
    words.extend(
        stem(part) for part in parts if part not in _STOP and (len(part) > 1 or part.isdigit())
    )
    return tuple(dict.fromkeys(words))


def query_words(query: str) -> dict[str, float]:
    """Return the words of a query and what each counts.

    Neighbours written together are a word too: `8 gb` is `8gb`. Where a sentence asks with a
    question mark, the words of the other sentences are asides and count less.
    """
    sentences = _SENTENCE.findall(query)
    asks = any(sentence.rstrip().endswith("?") for sentence in sentences)
    weights: dict[str, float] = {}
    for sentence in sentences:
        weight = ASIDE_WEIGHT if asks and not sentence.rstrip().endswith("?") else 1.0
        tokens = _WORD.findall(sentence.lower())
        joined = (a + b for a, b in itertools.pairwise(tokens) if a.isalnum())
        numbers = [word for word in joined if any(c.isdigit() for c in word)]
        for word in (*words_of(sentence), *numbers):
            weights[word] = max(weight, weights.get(word, 0.0))
    return weights


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return the word without a common English ending: `quantized` and `quantizing` meet."""
    word = _ONE_SPELLING.get(word, word)
    if not word.isalpha() or len(word) <= _SHORTEST_STEM:
        return word
    word = _without_plural(word)
    for ending in ("ization", "isation", "izing", "ising", "ized", "ised", "izer", "iser", "ize"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    for ending in ("ation", "ating", "ated", "ator", "ate"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    for ending in ("ing", "ed"):
        base = word[: -len(ending)]
        if word.endswith(ending) and len(base) >= _SHORTEST_STEM and _VOWELS & set(base):
            word = base[:-1] if base[-1] == base[-2] and base[-1] not in "lsz" else base
            break
    for ending in ("er", "ly", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word[:-1] + "i" if word.endswith("y") else word


def _without_plural(word: str) -> str:
    if word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def synonyms(word: str) -> frozenset[str]:
    """Return the stems that mean about the same as a stem."""
    return _synonyms().get(word, frozenset())


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in _ALIKE:
        group = {stem for word in line.split() for stem in words_of(word)}
        for member in group:
            found.setdefault(member, set()).update(group - {member})
    return {word: frozenset(others) for word, others in found.items()}


def can_be_misspelt(word: str) -> bool:
    """Return True for words long enough that a near spelling is likely to be the same word."""
    plausible = _SHORTEST_MISSPELT <= len(word) <= _LONGEST_MISSPELT
    return plausible and word.isascii() and word.isalpha()


def near_spellings(word: str) -> Iterator[str]:
    """Yield everything one slip away: a letter too many, missing, wrong, or two swapped."""
    halves = [(word[:n], word[n:]) for n in range(len(word) + 1)]
    for head, tail in halves:
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]


def splits(word: str) -> Iterable[tuple[str, str]]:
    """Return the ways to read a word as two, of five letters or more together: `lmstudio`."""
    return ((word[:n], word[n:]) for n in range(2, len(word) - 2))
