"""A turn that the guides and tools answer, grounded as `assistant ask` is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.agent.records import Answer
    from assistant.fit.records import RunOptions
    from assistant.machine.records import Machine
    from assistant.ollama.server_address import ServerAddress


def answer_grounded(
    text: str,
    *,
    server: ServerAddress,
    model: str,
    history: Sequence[str] = (),
    detect: Callable[[], Machine] | None = None,
    run_options: RunOptions | None = None,
    on_token: Callable[[str], None] | None = None,
) -> Answer:
    """Return the answer of the guides and tools, in the model's words where they are backed.

    Without a server that answers it is composed, and `engine.note` says why. `history` holds the
    questions before it that were asked of the guides too.

    Raises:
        UsageError: the question is empty, or describes a machine that makes no sense.
    """
    from assistant.agent.engine import answer_with_engine

    return answer_with_engine(
        text,
        server=server,
        set_up_model=model,
        history=history,
        detect=detect,
        run_options=run_options,
        on_token=on_token,
    )


def with_sources(answer: Answer) -> str:
    """Return the answer's Markdown with its sources numbered below."""
    if not answer.citations:
        return answer.text
    sources = "  \n".join(
        f"[{number}] {citation.guide}: {citation.section}"
        for number, citation in enumerate(answer.citations, start=1)
    )
    return f"{answer.text}\n\n{sources}"


def engine_note(answer: Answer) -> str | None:
    """Return what to tell about how the answer was made, or None."""
    if answer.engine.kind == "offline":
        return answer.engine.note
    changed = len(answer.grounding.replaced) + len(answer.grounding.dropped)
    if not changed:
        return None
    return f"{changed} unbacked parts of what {answer.engine.model} wrote were replaced or left out"
