"""The Modelfile of a model in a role, with the reason for every value in its head.

One template per role is in `modelfiles/`, with these places: `$model` and `$model_name`,
`$num_ctx`, `$parameters` (what else is set, a line each), and the reasons `$why_num_ctx`,
`$why_num_gpu`, `$why_num_batch`, `$why_sampling`, `$sampling_source` and `$licence`. A comment
whose place stays empty is left out. Pure, apart from reading the template.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from functools import lru_cache
from string import Template
from typing import Final

from assistant.errors import FileProblemError
from assistant.ollama.modelfile import Modelfile, parse_modelfile, quoted
from assistant.paths import bundled_folder
from assistant.provision.sampling import Sampling, sampling_for
from assistant.recommend.roles import role_profile

COMMENT_WIDTH: Final = 78
_WORD_AND_FIGURE: Final = re.compile(r"(?<=[a-z]) (?=\d)")
_HELD: Final = "\0"
_EMPTY: Final = frozenset({"", "sampling:"})
_NO_SYSTEM: Final = "system prompt: none, because the maker advises against one"
_SYSTEM_MARK: Final = "system prompt:"
_PLAIN: Final = """# $model_name for any use, with a context as for chat
# num_ctx $num_ctx: $why_num_ctx
# $why_num_gpu
# $why_num_batch
# sampling: $why_sampling
# $sampling_source
# $licence
FROM $model
PARAMETER num_ctx $num_ctx
$parameters
"""


@dataclass(frozen=True, slots=True)
class _Values:
    """What goes into a template beside the model, and why."""

    num_ctx: int
    why_num_ctx: str
    num_gpu: int | None = None
    why_num_gpu: str | None = None
    num_batch: int | None = None
    licence: str | None = None


def role_modelfile(
    role: str,
    *,
    model: str,
    num_ctx: int,
    why_num_ctx: str,
    family: str | None,
    thinking: bool = False,
    num_gpu: int | None = None,
    why_num_gpu: str | None = None,
    num_batch: int | None = None,
    licence: str | None = None,
) -> Modelfile:
    """Return the Modelfile of `model` for a role.

    `family` is the catalog's and gives the maker's sampling values; `thinking` says whether the
    model thinks before it answers. `num_gpu` and `num_batch` are written only when given.
    `licence` is its name, for the head; the licence's text comes along with the model.

    Raises:
        UsageError: there is no such role.
        FileProblemError: the role's template is missing.
    """
    name = role_profile(role).name
    sampling = sampling_for(family=family, role=name, thinking=thinking)
    values = _Values(num_ctx, why_num_ctx, num_gpu, why_num_gpu, num_batch, licence)
    modelfile = _filled(_template(name), model, values, sampling)
    if sampling.no_system and modelfile.system is not None:
        comments = tuple(
            _NO_SYSTEM if comment.startswith(_SYSTEM_MARK) else comment
            for comment in modelfile.comments
        )
        modelfile = replace(modelfile, system=None, comments=comments)
    return _with_even_comments(modelfile)


def plain_modelfile(
    model: str,
    *,
    num_ctx: int,
    why_num_ctx: str,
    family: str | None,
    thinking: bool = False,
    num_gpu: int | None = None,
    why_num_gpu: str | None = None,
    num_batch: int | None = None,
    licence: str | None = None,
) -> Modelfile:
    """Return the Modelfile of `model` for no role: its context and its maker's sampling values."""
    sampling = sampling_for(family=family, role=None, thinking=thinking)
    values = _Values(num_ctx, why_num_ctx, num_gpu, why_num_gpu, num_batch, licence)
    return _with_even_comments(_filled(_PLAIN, model, values, sampling))


def _filled(template: str, model: str, values: _Values, sampling: Sampling) -> Modelfile:
    """Return the template's Modelfile with everything in its place."""
    parameters = []
    why_num_gpu = why_num_batch = ""
    if values.num_gpu is not None:
        parameters.append(("num_gpu", str(values.num_gpu)))
        why_num_gpu = f"num_gpu {values.num_gpu}: {values.why_num_gpu or 'as asked'}"
    if values.num_batch is not None:
        parameters.append(("num_batch", str(values.num_batch)))
        why_num_batch = f"num_batch {values.num_batch}: what the memory was estimated with"
    parameters += sampling.parameters
    text = Template(template).substitute(
        model=quoted(model),
        model_name=_one_line(model),
        num_ctx=values.num_ctx,
        parameters="\n".join(f"PARAMETER {name} {quoted(value)}" for name, value in parameters),
        why_num_ctx=_one_line(values.why_num_ctx),
        why_num_gpu=_one_line(why_num_gpu),
        why_num_batch=why_num_batch,
        why_sampling=_one_line(sampling.why),
        sampling_source=_one_line(sampling.source or ""),
        licence=_one_line(f"licence of the model: {values.licence}" if values.licence else ""),
    )
    return parse_modelfile(text)


@lru_cache(maxsize=16)
def _template(role: str) -> str:
    path = bundled_folder("modelfiles") / f"{role}.Modelfile"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileProblemError(
            f"the template {path.name!r} that belongs to this program is missing.",
            hint="Install the program again.",
        ) from error


def _with_even_comments(modelfile: Modelfile) -> Modelfile:
    """Return the Modelfile without empty comments, and with long ones over several lines."""
    lines: list[str] = []
    for comment in modelfile.comments:
        if comment.strip() in _EMPTY:
            continue
        wrapped = textwrap.wrap(
            _WORD_AND_FIGURE.sub(_HELD, comment.strip()),
            COMMENT_WIDTH - len("# "),
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += (line.replace(_HELD, " ") for line in wrapped)
    return replace(modelfile, comments=tuple(lines))


def _one_line(text: str) -> str:
    return " ".join(text.split())
