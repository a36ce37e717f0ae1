"""`assistant recommend`: which model for which role on this machine, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import click

from assistant.cli.options import (
    NumCtx,
    examples,
    licence_option,
    machine_option,
    offline_option,
    output_options,
    prefer_option,
    resolve_machine,
)
from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.recommend.records import Needs

ROLE_HELP: Final = (
    "chat, code, embeddings, vision, reasoning, writing, translation, summarize, rag, tools, "
    "extract.  [default: chat, code and embeddings, sized together]"
)


@click.command(
    "recommend",
    epilog=examples(
        "assistant recommend",
        "assistant recommend --role code --num-ctx 64k",
        'assistant recommend --role chat --lang de --machine "RTX 3060, 32GB RAM"',
        "assistant recommend --role code --autocomplete --prefer speed",
    ),
)
@click.option("--role", metavar="ROLE", help=ROLE_HELP)
@click.option(
    "--num-ctx",
    type=NumCtx(),
    metavar="TOKENS",
    help="Context length in tokens: 8192, 32k.  [default: the role's usual, 2k to 16k]",
)
@licence_option
@click.option(
    "--lang",
    "languages",
    multiple=True,
    metavar="xx",
    help="A language the model must speak: its two-letter code, or its name in English; may be "
    "repeated.",
)
@prefer_option
@click.option("--autocomplete", is_flag=True, help="Code completed at the cursor (fill-in-middle).")
@machine_option
@offline_option
@output_options
def recommend(
    out: Output,
    role: str | None,
    num_ctx: int | None,
    licence: str,
    languages: tuple[str, ...],
    prefer: Literal["speed", "quality", "balance"],
    autocomplete: bool,
    machine_spec: str | None,
    offline: bool,  # noqa: ARG001  it never uses a network; --offline may be said all the same
) -> None:
    """Pick the models that suit a role and fit this machine.

    Quality comes from published scores, each cited; memory and speed are estimated for this
    machine. Nothing is downloaded, and no network is used.
    """
    import gc

    from assistant.recommend.records import Needs

    if autocomplete and role is None:
        role = "code"
    needs = Needs(
        num_ctx=num_ctx,
        commercial=licence == "commercial",
        languages=tuple(_language(code) for code in languages),
        prefer=prefer,
        insert=autocomplete,
    )
    gc.disable()  # the catalog's many records live as long as this short command
    try:
        if role is None:
            _recommend_set(out, needs, machine_spec)
        else:
            _recommend_role(out, role, needs, machine_spec)
    finally:
        gc.enable()


def _recommend_role(out: Output, role: str, needs: Needs, machine_spec: str | None) -> None:
    from dataclasses import replace

    from assistant.models.catalog import load_catalog
    from assistant.recommend.picks import recommend as recommend_for
    from assistant.recommend.roles import role_profile
    from assistant.recommend.serialize import recommendation_to_dict

    profile = role_profile(role, insert=needs.insert)
    if needs.insert and profile.title != "autocomplete":
        raise click.UsageError("--autocomplete goes with --role code.")
    found = recommend_for(
        resolve_machine(machine_spec), replace(needs, role=profile.name), load_catalog()
    )

    def text() -> str:
        from assistant.cli.recommend_text import render_recommendation

        return render_recommendation(found, title=profile.title, spec=machine_spec, width=out.width)

    if not found.picks:
        _nothing_fits(profile.title, needs)
    out.result(lambda: recommendation_to_dict(found), text)


def _recommend_set(out: Output, needs: Needs, machine_spec: str | None) -> None:
    from assistant.models.catalog import load_catalog
    from assistant.recommend.serialize import set_to_dict
    from assistant.recommend.sets import recommend_set

    found = recommend_set(
        resolve_machine(machine_spec), load_catalog(), needs=needs, with_details=out.as_json
    )

    def text() -> str:
        from assistant.cli.recommend_text import render_set

        return render_set(found, spec=machine_spec, width=out.width)

    if not found.members:
        _nothing_fits("chat, code and embeddings", needs)
    out.result(lambda: set_to_dict(found), text)


def _nothing_fits(title: str, needs: Needs) -> None:
    """Raise the error that explains an empty recommendation."""
    from assistant.errors import NoFitError
    from assistant.units import tokens

    asked = []
    if needs.num_ctx is not None:
        asked.append(f"{tokens(needs.num_ctx)} of context")
    if needs.commercial:
        asked.append("a licence for commercial use")
    asked.extend(f"the language {code!r}" for code in needs.languages)
    conditions = f" with {' and '.join(asked)}" if asked else ""
    hint = "Leave out a condition, or describe" if asked else "Describe"
    raise NoFitError(
        f"no model in the catalog serves {title}{conditions} on this machine.",
        hint=f'{hint} another machine: assistant recommend --machine "RTX 3060 12GB, 32GB RAM".',
    )


def _language(code: str) -> str:
    """Return a language code in lower case, from a code or an English name.

    Raises:
        click.UsageError: it is not two or three letters (with a region: `pt-BR`), nor a name.
    """
    from assistant.recommend.languages import LANGUAGE_NAMES

    plain = code.strip().lower()
    plain = LANGUAGE_NAMES.get(plain, plain)
    letters = plain.partition("-")[0]
    if not (letters.isalpha() and letters.isascii() and 2 <= len(letters) <= 3):
        raise click.UsageError(f"--lang takes a language code such as de, not {code!r}.")
    return plain
