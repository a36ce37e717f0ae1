"""Tables of what models are: sizes, files, contexts, languages, licences, scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guide_table import CTX, Build, Table, estimate

from assistant.fit.kv_cache import cache_bytes
from assistant.fit.model_facts import facts_from_card
from assistant.machine.parse import parse_machine
from assistant.models.card import ModelCard
from assistant.models.catalog import Catalog
from assistant.units import MIB, gb, gib, tokens

BATCH: Final = 512
MOST_NAMED: Final = 12
"""Languages that are named one by one."""

OVERVIEW: Final = (
    "qwen3.5", "qwen3.6", "qwen3.8", "gemma4", "gpt-oss", "granite4.2", "ministral-3",
    "nemotron-3-nano", "nemotron-3.5-lightning", "glm-4.7-flash", "muse-glimmer", "lfm2.5",
)  # fmt: skip
CURRENT: Final = (
    "qwen3.5:2b", "qwen3.5:4b", "qwen3.5:9b", "gemma4:e4b", "gemma4:12b", "gemma4:31b",
    "granite4.2:8b", "ministral-3:8b", "gpt-oss:20b", "qwen3.8:27b", "qwen3.6:35b",
    "gpt-oss:120b",
)  # fmt: skip
CONTEXTS: Final = (
    "qwen3.5:9b", "qwen3.8:27b", "qwen3.6:35b", "gemma4:e4b", "gemma4:12b", "gemma4:31b",
    "gpt-oss:20b", "granite4.2:8b", "ministral-3:8b", "mistral-small3.2:24b", "phi4:14b",
    "llama3.1:8b",
)  # fmt: skip
LANGUAGES: Final = (
    "granite4.2", "llama4", "ministral-3", "lfm2.5", "command-r", "mistral-nemo", "llama3.3",
    "nemotron-3-super", "nemotron-3-nano", "mixtral", "falcon3",
)  # fmt: skip
"""Models whose makers name their languages, from many to few."""
EMBEDDING_MODELS: Final = (
    "embeddinggemma:300m", "qwen3-embedding:0.6b", "qwen3-embedding:4b", "qwen3-embedding:8b",
    "bge-m3:567m", "bge-large:335m", "mxbai-embed-large:335m", "nomic-embed-text",
    "nomic-embed-text-v2-moe", "snowflake-arctic-embed2:568m", "granite-embedding:278m",
    "all-minilm:22m",
)  # fmt: skip
LICENCE_EXAMPLES: Final = (
    ("Apache 2.0", ("qwen3.5", "gemma4", "gpt-oss")),
    ("MIT", ("phi4", "glm-4.7-flash", "bge-m3")),
    ("Llama 3.1 Community License", ("llama3.1",)),
    ("Llama 2 Community License", ("llama2", "codellama")),
    ("Gemma Terms of Use", ("gemma3", "embeddinggemma")),
    ("DeepSeek Model License", ("deepseek-coder",)),
    ("Qwen License", ("qwen2.5:72b",)),
    ("Qwen Research License", ("qwen2.5:3b", "qwen2.5-coder:3b")),
    ("CC BY-NC 4.0", ("command-r", "aya-expanse")),
    ("Mistral Non-Production License", ("codestral",)),
    ("Mistral Research License", ("mistral-large",)),
    ("TII Falcon License 2.0", ("falcon3",)),
)
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "llama": ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.2-vision", "llama3.3", "llama4"),
    "mistral": (
        "mistral", "mixtral", "mistral-nemo", "mistral-small3.2", "ministral-3", "magistral",
        "codestral", "devstral-small-2", "mistral-large", "mistral-medium-3.5",
    ),
    "phi": (
        "phi", "phi3", "phi3.5", "phi4", "phi4-mini", "phi4-mini-reasoning", "phi4-reasoning",
    ),
    "gemma": (
        "gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "codegemma", "embeddinggemma",
        "translategemma", "medgemma", "functiongemma",
    ),
    "qwen": (
        "qwen2.5", "qwen2.5-coder", "qwen2.5vl", "qwen3", "qwen3-coder", "qwen3-coder-next",
        "qwen3-vl", "qwen3.5", "qwen3.6", "qwen3.8", "qwen3-embedding", "qwq",
    ),
    "deepseek": (
        "deepseek-llm", "deepseek-coder", "deepseek-v2", "deepseek-coder-v2", "deepseek-v3",
        "deepseek-r1", "deepseek-v3.1", "deepseek-ocr",
    ),
}  # fmt: skip


def family(name: str) -> Build:
    """Return a table of a maker's models: sizes, files, context, licence."""

    def build(catalog: Catalog) -> Table:
        rows = [_family_row(each, catalog) for each in FAMILIES[name]]
        return Table(
            ("model", "sizes", "file", "context", "licence"),
            tuple(rows),
            "Files of the default tags; contexts as the files state.",
        )

    return build


def _family_row(name: str, catalog: Catalog) -> tuple[str, ...]:
    cards = sorted(_cards(name, catalog), key=lambda card: _download(card, catalog) or 0)
    sizes = [card.name.partition(":")[2] or "-" for card in cards]
    files = [size for card in cards if (size := _download(card, catalog))]
    contexts = sorted({card.context_length for card in cards if card.context_length})
    licences = list(dict.fromkeys(_short_licence(card.licence.name) for card in cards))
    return (
        f"`{name}`",
        _range(sizes),
        gb(min(files)) if len(files) == 1 else f"{_bare(min(files))} to {gb(max(files))}",
        _CONTEXTS_BY_MAKER.get(name) or _range([_thousands(length) for length in contexts]),
        licences[0] if len(licences) == 1 else "by size",
    )


def current_families(catalog: Catalog) -> Table:
    """Return the current families: maker, month, sizes, what they can do."""
    rows = []
    for name in OVERVIEW:
        cards = _cards(name, catalog)
        can = frozenset.intersection(*(card.capabilities for card in cards))
        shown = [word for word in ("tools", "thinking", "vision") if word in can]
        rows.append(
            (
                f"`{name}`",
                _maker(cards[0]),
                max(card.release or "" for card in cards),
                ", ".join(shown) or "-",
            )
        )
    return Table(
        ("model", "by", "newest", "all sizes can"),
        tuple(rows),
        "Families of the library that are current.",
    )


def current_models(catalog: Catalog) -> Table:
    """Return file, memory and trained context of the current models."""
    machine = parse_machine("80GB VRAM")
    rows = []
    for name in CURRENT:
        card, tag = catalog.find(name)
        found = estimate(catalog, name, machine)
        rows.append(
            (
                f"`{name}`",
                tag.quantization or "-",
                gb(tag.download_bytes or 0),
                gib(found.gpu.total_bytes),
                _thousands(tag.context_length or card.context_length or 0),
            )
        )
    return Table(
        ("model", "default tag", "file", "VRAM at 8k", "trained context"),
        tuple(rows),
        "VRAM is an estimate with an f16 cache.",
    )


def context_lengths(catalog: Catalog) -> Table:
    """Return the trained context of models, and what their cache takes at two lengths."""
    rows = []
    for name in CONTEXTS:
        card, tag = catalog.find(name)
        facts = facts_from_card(card, tag)
        cache = [
            cache_bytes(facts.architecture, num_ctx=length, num_batch=BATCH).total_bytes
            for length in (CTX, 4 * CTX)
        ]
        trained = _thousands(tag.context_length or card.context_length or 0)
        rows.append((f"`{name}`", trained, *(gib(size) for size in cache)))
    return Table(
        ("model", "trained context", "cache at 8k", "cache at 32k"),
        tuple(rows),
        "Cache in f16, states of recurrent layers included.",
    )


def languages(catalog: Catalog) -> Table:
    """Return the languages of models whose makers name them."""
    rows = []
    for name in LANGUAGES:
        listed = max((card.languages or () for card in _cards(name, catalog)), key=len)
        if not 0 < len(listed) <= MOST_NAMED:
            raise ValueError(f"{name} has {len(listed)} languages")
        rows.append((f"`{name}`", str(len(listed)), " ".join(listed)))
    return Table(
        ("model", "languages", "which"),
        tuple(rows),
        "Two-letter codes of the languages that the makers name.",
    )


def licences(catalog: Catalog) -> Table:
    """Return the usual licences, whether they allow commercial use, and models under them."""
    words = {"yes": "yes", "no": "no", "conditional": "conditions", "unknown": "unknown"}
    rows = []
    for licence, examples in LICENCE_EXAMPLES:
        cards = [_cards(name, catalog)[0] for name in examples]
        wrong = [card.name for card in cards if card.licence.name != licence]
        if wrong:
            raise ValueError(f"{wrong} are not under {licence!r}")
        shown = ", ".join(f"`{name}`" for name in examples)
        rows.append(
            (licence.removesuffix(" License"), words[cards[0].licence.commercial_use], shown)
        )
    return Table(
        ("licence", "commercial use", "for example"), tuple(rows), "Licences as published."
    )


def fim_models(catalog: Catalog) -> Table:
    """Return the models that Ollama lists with `insert`."""
    rows = [
        (
            f"`{card.name}`",
            gb(_download(card, catalog) or 0),
            _thousands(card.context_length or 0),
            _short_licence(card.licence.name),
        )
        for card in catalog.cards
        if "insert" in card.capabilities
    ]
    return Table(
        ("model", "file", "context", "licence"),
        tuple(rows),
        "Models that the library lists with the insert capability at their default tag.",
    )


def embedding_models(catalog: Catalog) -> Table:
    """Return size, dimensions, context and scores of embedding models."""
    rows = []
    for name in EMBEDDING_MODELS:
        card, _ = catalog.find(name)
        scores = {score.name: score.value for score in card.benchmarks}
        multilingual = scores.get("MTEB multilingual mean (task)")
        length = card.architecture.embedding_length if card.architecture else 0
        rows.append(
            (
                f"`{name}`",
                gb(_download(card, catalog) or 0),
                str(length or "-"),
                _thousands(card.context_length or 0),
                f"{multilingual:.1f}" if multilingual else "-",
                "many" if len(card.languages or ()) > 1 else "English",
            )
        )
    return Table(
        ("model", "file", "dims", "context", "MTEB", "languages"),
        tuple(rows),
        "MTEB: multilingual mean by task, where published.",
    )


_CONTEXTS_BY_MAKER: Final = {"mistral-nemo": "128k"}
"""The file says 1,024,000; Mistral trained and tested it up to 128k (its model card)."""


_SHORT: Final = {
    "Qwen Research License": "Qwen Research",
    "Gemma Terms of Use": "Gemma Terms",
    "DeepSeek Model License": "DeepSeek",
    "BigCode OpenRAIL-M": "OpenRAIL-M",
    "Mistral Non-Production License": "Mistral MNPL",
    "Mistral Research License": "Mistral MRL",
    "Microsoft Research License": "MS Research",
    "Health AI Developer Foundations terms": "Health AI terms",
    "TII Falcon License 2.0": "TII Falcon 2.0",
}


def _short_licence(name: str | None) -> str:
    if name is None:
        return "unknown"
    return _SHORT.get(name, name.replace(" Community License", "").replace(" License", ""))


def _cards(name: str, catalog: Catalog) -> tuple[ModelCard, ...]:
    """Return the models of a family of that name, or the one model.

    Raises:
        ValueError: the catalog has neither.
    """
    cards = catalog.family(name)
    if not cards:
        card = catalog.card(name)
        cards = (card,) if card else ()
    if not cards:
        raise ValueError(f"the catalog has no {name!r}")
    return cards


def _download(card: ModelCard, catalog: Catalog) -> int | None:
    tag = catalog.tag_for(card)
    return tag.download_bytes if tag else None


def _maker(card: ModelCard) -> str:
    name = card.publisher or "unknown"
    for end in (" (", " / ", " Superintelligence"):
        name = name.partition(end)[0]
    return name


def _bare(size: int) -> str:
    return gb(size).removesuffix(" GB")


def _range(values: Sequence[str]) -> str:
    if len(values) <= 2:
        return ", ".join(values)
    return f"{values[0]} to {values[-1]}"


def _thousands(count: int) -> str:
    if count >= MIB:
        return f"{count // MIB}M"
    return f"{count // 1000}k" if count % 1000 == 0 else tokens(count)
