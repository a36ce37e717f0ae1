"""A turn that the guides and tools answer, grounded as `assistant ask` is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from assistant.chat.about_words import is_only_about
from assistant.chat.budget import turns_of
from assistant.chat.chat_problems import GuidesError
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from assistant.agent.records import Answer
    from assistant.chat.records import Message
    from assistant.fit.records import RunOptions
    from assistant.machine.records import Machine
    from assistant.ollama.server_address import ServerAddress


def guides_history(messages: Sequence[Message], asked: Collection[int | None]) -> list[str]:
    """Return the questions that the guides answered, oldest first.

    `asked` holds the numbers of those that are known to have been put to them. Of others, such
    as those of an earlier sitting, what is about the model and its machine was answered from the
    server's figures, and is no beginning of a question to the guides.
    """
    return [
        question.content
        for question, *answers in turns_of(messages)
        if answers
        and answers[-1].kind == "grounded"
        and (question.id in asked or not is_only_about(question.content))
    ]


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
        GuidesError: answering it failed in a way that nobody expected.
    """
    from assistant.agent.engine import answer_with_engine

    try:
        return answer_with_engine(
            text,
            server=server,
            set_up_model=model,
            history=history,
            detect=detect,
            run_options=run_options,
            on_token=on_token,
        )
    except (AssistantError, BrokenPipeError):  # the latter is of who reads `on_token`
        raise
    except Exception as error:
        raise GuidesError(error) from error


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
