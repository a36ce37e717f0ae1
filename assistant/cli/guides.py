"""`assistant guides`: read and search the guides, and add notes of your own to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.options import examples, output_options
from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.knowledge.embedder_choice import ChosenEmbedder
    from assistant.knowledge.index import IndexRecord
    from assistant.knowledge.notes import AddReport
    from assistant.knowledge.passages import Origin
    from assistant.knowledge.search import Dense, SearchResult


@click.group(
    "guides",
    epilog=examples(
        "assistant guides list",
        'assistant guides search "why is partial offload slow"',
        "assistant guides show quantization",
        "assistant guides add ~/notes",
    ),
)
def guides() -> None:
    """Read and search the guides and your own notes.

    The guides are what `assistant ask` cites. Notes that you add are kept apart: they are
    marked in every result, and `remove` forgets them.
    """


@guides.command("list", epilog=examples("assistant guides list", "assistant guides list --json"))
@output_options
def list_command(out: Output) -> None:
    """List the guides, your notes, and the index."""
    from assistant.cli.guides_text import list_data, render_list
    from assistant.knowledge.guides import load_guides
    from assistant.knowledge.index import read_record
    from assistant.knowledge.note_store import list_notes

    bundled = tuple(load_guides().values())
    notes = list_notes()
    record = read_record("bundled")
    out.result(
        lambda: list_data(bundled, notes, record),
        lambda: render_list(bundled, notes, record, width=out.width),
    )


@guides.command(
    "show",
    epilog=examples(
        "assistant guides show quantization",
        'assistant guides show memory "KV cache"',
        "assistant guides show my/server-notes",
    ),
)
@click.argument("name")
@click.argument("section", required=False)
@output_options
def show(out: Output, name: str, section: str | None) -> None:
    """Show a guide or one of your notes, or one section of it."""
    from assistant.cli.guides_text import find_document, page_data, render_page

    page = find_document(name, section)
    out.result(lambda: page_data(page), lambda: render_page(page), markdown=True)


@guides.command(
    "search",
    epilog=examples(
        'assistant guides search "does a longer context need more memory"',
        'assistant guides search "backup schedule" --own',
        'assistant guides search "q4_k_m" --words --limit 10 --json',
    ),
)
@click.argument("query", nargs=-1, required=True)
@click.option(
    "--limit", type=click.IntRange(1, 50), default=4, show_default=True, metavar="N",
    help="Passages to show.",
)  # fmt: skip
@click.option("--words", is_flag=True, help="Compare words only, not meaning.")
@click.option("--own", is_flag=True, help="Search your own notes only.")
@click.option("--bundled", is_flag=True, help="Search the bundled guides only.")
@click.option(
    "--rerank",
    metavar="MODEL",
    help="Order the passages with a cross-encoder: a folder, or a name in the local Hugging Face "
    "cache.",
)
@output_options
def search(
    out: Output,
    query: tuple[str, ...],
    limit: int,
    words: bool,
    own: bool,
    bundled: bool,
    rerank: str | None,
) -> None:
    """Find the passages for a question.

    Words are compared always; meaning too, once `assistant guides index` was run.
    """
    from assistant.cli.guides_text import render_results, results_data

    if own and bundled:
        raise click.UsageError("--own and --bundled exclude each other.")
    origin: Origin | None = "own" if own else "bundled" if bundled else None
    text = " ".join(query)
    if not text.strip():
        raise click.UsageError("the query is empty.")
    result = _search(out, text, limit=limit, origin=origin, words=words, rerank=rerank)
    if result.note:
        out.note(result.note)
    out.result(lambda: results_data(result), lambda: render_results(result, width=out.width))


@guides.command(
    "add",
    epilog=examples("assistant guides add notes.md", "assistant guides add ~/handbook"),
)
@click.argument("path", type=click.Path(path_type=Path))
@output_options
def add(out: Output, path: Path) -> None:
    """Add Markdown, text or PDF files to what is searched.

    PATH is a file, or a folder whose files are all added. Their text is copied; add them again
    after a change. Nothing in them is executed or followed.
    """
    from assistant.cli.guides_text import add_data, render_add
    from assistant.knowledge.notes import add_notes

    with out.counter("reading") as count:
        report = add_notes(path, progress=lambda done, total, _name: count(done, total))
    out.result(
        lambda: add_data(report),
        lambda: render_add(report, indexed=_is_indexed()),
        errors=report.problems,
        status=_status(report),
    )


@guides.command(
    "remove", epilog=examples("assistant guides remove my/notes", "assistant guides remove my/")
)
@click.argument("name")
@output_options
def remove(out: Output, name: str) -> None:
    """Forget a note, or a whole folder of them; your files stay.

    NAME is as `assistant guides list` shows it. Bundled guides cannot be removed.
    """
    from assistant.knowledge.notes import remove_notes

    removed = remove_notes(name)
    out.result(
        {"removed": list(removed)},
        f"Forgot {_listed(removed)}. The files themselves were not touched.",
    )


@guides.command(
    "index",
    epilog=examples(
        "assistant guides index",
        "assistant guides index --embedder ollama:nomic-embed-text",
        "assistant guides index --embedder sentence-transformers:./all-mpnet-base-v2",
    ),
)
@click.option(
    "--embedder",
    default="auto",
    show_default=True,
    metavar="WHICH",
    help="ollama[:MODEL], onnx, sentence-transformers[:MODEL], or auto: the first that is there.",
)
@click.option("--remove", "forget", is_flag=True, help="Remove the index instead.")
@output_options
def index(out: Output, embedder: str, forget: bool) -> None:
    """Build the index that searches by meaning, and read changed notes again.

    Passages go to the configured Ollama server (OLLAMA_HOST) when it makes the vectors, and
    nowhere else. What did not change since the last time is not embedded again. Ctrl-C leaves
    the index that was there.
    """
    if forget:
        from assistant.knowledge.index import remove_index

        for origin in ("bundled", "own"):
            remove_index(origin)
        out.result({"indexes": []}, "Removed. Searching compares words only.")
        return
    from assistant.cli.guides_text import index_data, render_index
    from assistant.knowledge.embedders import EmbedderUnavailableError
    from assistant.knowledge.notes import refresh_notes

    with out.counter("reading your notes") as count:
        report = refresh_notes(progress=lambda done, total, _name: count(done, total))
    try:
        with out.progress("looking for an embedding model"):
            chosen = _embedder(embedder)
    except EmbedderUnavailableError as error:
        if embedder != "auto":
            raise
        out.result(
            lambda: index_data({}, report),
            f"{error.message[:1].upper()}{error.message[1:]}\n{error.hint}",
            errors=report.problems,
        )
        return
    built = _build(out, chosen)
    out.result(
        lambda: index_data(built, report),
        lambda: render_index(built, report),
        errors=report.problems,
    )


def _search(
    out: Output, text: str, *, limit: int, origin: Origin | None, words: bool, rerank: str | None
) -> SearchResult:
    """Search; an index that is stale or damaged is built again first, unless Ctrl-C says no."""
    from assistant.errors import AssistantError
    from assistant.knowledge.search import search_guides
    from assistant.knowledge.upkeep import embedder_in_use

    reranker = None
    with out.progress("searching"):
        if rerank is not None:
            from assistant.knowledge.embedders import load_cross_encoder

            reranker = load_cross_encoder(rerank)
        dense: Dense = "off" if words else "load"
        result = search_guides(text, limit, origin=origin, dense=dense, reranker=reranker)
    if not result.outdated:
        return result
    try:
        chosen = embedder_in_use()
        if chosen is not None:
            _build(out, chosen)
    except (AssistantError, KeyboardInterrupt):
        return result
    return search_guides(text, limit, origin=origin, dense="load", reranker=reranker)


def _build(out: Output, chosen: ChosenEmbedder) -> dict[Origin, IndexRecord]:
    from assistant.knowledge.upkeep import build_indexes

    with out.counter(f"indexing with {chosen.embedder.name}") as count:
        return build_indexes(chosen, progress=lambda _shelf, done, total: count(done, total))


def _embedder(choice: str) -> ChosenEmbedder:
    from assistant.knowledge.embedder_choice import find_embedder

    return find_embedder(choice)


def _is_indexed() -> bool:
    from assistant.knowledge.index import read_record

    return read_record("bundled") is not None


def _status(report: AddReport) -> Any:
    """Return `error` when nothing at all could be added, `partial` when some could not."""
    if not report.problems:
        return "ok"
    return "partial" if report.added or report.changed or report.unchanged else "error"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} notes"
