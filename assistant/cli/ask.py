"""`assistant ask`: a question in plain words, answered from the tools."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from assistant.cli.options import (
    detect_this_machine,
    examples,
    machine_option,
    offline_option,
    output_options,
)
from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.agent.records import Answer

MAX_QUESTION_CHARACTERS: Final = 4000


@click.command(
    "ask",
    epilog=examples(
        'assistant ask "what runs on my 8GB card?"',
        'assistant ask "does qwen2.5:14b fit on a 3060 12GB at 16k?"',
        'assistant ask --continue "and with 32k?"',
        'echo "which model for code on an M2 Max 32GB" | assistant ask -',
    ),
)
@click.argument("question", nargs=-1, required=True)
@click.option("--continue", "follow_up", is_flag=True, help="Go on from the last questions.")
@click.option("--model", metavar="NAME", help="The installed model that writes the answer.")
@click.option("--no-llm", is_flag=True, help="Compose the answer without a language model.")
@machine_option
@offline_option
@output_options
def ask(
    out: Output,
    question: tuple[str, ...],
    follow_up: bool,
    model: str | None,
    no_llm: bool,
    machine_spec: str | None,
    offline: bool,
) -> None:
    """Answer a question about models and machines.

    QUESTION is read from standard input when it is `-`. Every figure comes from the catalog, the
    device table, the estimators or the guides. When an Ollama server answers, a model installed
    there may write the text; what it writes is checked, and what is not backed is not shown.
    Nothing is sent anywhere else.
    """
    if no_llm and model:
        raise click.UsageError("--no-llm and --model contradict each other.")
    from assistant.agent.engine import answer_with_engine
    from assistant.agent.history import read_history, write_history
    from assistant.agent.records import answer_to_dict
    from assistant.cli.environment import environment_run_options
    from assistant.ollama.server_address import configured_address

    if offline and not configured_address().is_local:
        if model:
            raise click.UsageError("--offline forbids the server elsewhere that --model needs.")
        no_llm = True
    text = _read_question(out, question)
    start = time.perf_counter()
    machine = None
    if machine_spec is not None:
        from assistant.machine.parse import load_machine

        machine = load_machine(machine_spec)
    history = read_history() if follow_up else []
    with out.progress("looking that up"):
        answer = answer_with_engine(
            text,
            history=history,
            machine=machine,
            model=model,
            set_up_model=_set_up_for_chat(),
            no_llm=no_llm,
            detect=detect_this_machine,
            on_model=lambda chosen: out.note(f"{chosen.name} writes the answer; Ctrl-C stops it."),
            run_options=environment_run_options(),
        )
    elapsed = time.perf_counter() - start
    problem = write_history([*history, text])
    for note in (problem, _engine_note(answer)):
        if note:
            out.note(note)
    out.result(
        lambda: answer_to_dict(answer, elapsed_s=elapsed),
        lambda: _with_sources(answer),
        markdown=True,
    )


def _set_up_for_chat() -> str | None:
    """Return the alias that `assistant setup` made for chat, or None."""
    from assistant.provision.ledger import current_entry

    entry = current_entry("chat")
    return None if entry is None else entry.alias


def _engine_note(answer: Answer) -> str | None:
    """Return who wrote the answer and what checking changed, or why no model wrote it."""
    engine, grounding = answer.engine, answer.grounding
    if engine.kind == "offline":
        return engine.note
    changed = len(grounding.replaced) + len(grounding.dropped)
    left = f"; {changed} unbacked parts were replaced or left out" if changed else ""
    return f"What {engine.model} wrote was checked against the tools{left}."


def _read_question(out: Output, words: tuple[str, ...]) -> str:
    text = " ".join(words)
    if words == ("-",):
        if sys.stdin.isatty():
            out.note("Type the question, then Ctrl-D.")
        text = sys.stdin.read(MAX_QUESTION_CHARACTERS + 1)
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise click.UsageError(
            f"the question is longer than {MAX_QUESTION_CHARACTERS} characters; ask a shorter one."
        )
    return text


def _with_sources(answer: Answer) -> str:
    """Return the answer's Markdown with its citations numbered below."""
    if not answer.citations:
        return answer.text
    sources = "  \n".join(
        f"[{number}] {citation.guide}: {citation.section}"
        for number, citation in enumerate(answer.citations, start=1)
    )
    return f"{answer.text}\n\n{sources}"
