"""Options that several commands share, each declared once.

Decorators for click commands; the name in brackets is the parameter they pass:

    @output_options          passes `out: Output` first; adds --json and --debug
    @machine_option          [machine_spec: str | None]   resolve it with `resolve_machine`
    @num_ctx_option          [num_ctx: int | None]        "32768" or "32k"
    @num_parallel_option     [num_parallel: int | None]
    @num_batch_option        [num_batch: int | None]
    @kv_cache_type_option    [kv_cache_type: str | None]
    @flash_attention_option  [flash_attention: bool | None]  on, off, or Ollama's choice
    @offline_option          [offline: bool]              also ASSISTANT_OFFLINE=1
    @licence_option          [licence: str]               any or commercial
    @prefer_option           [prefer: str]                speed, quality or balance

`epilog=examples("assistant fit llama3.1:8b", ...)` gives a command its Examples block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.machine.records import Machine

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

JSON_KEY = "assistant.json"
TOKENS_PER_K = 1024
LARGEST_NUM_CTX = 2**31 - 1
"""llama.cpp counts positions in 32 bits."""
LARGEST_NUM_PARALLEL = 256
"""LLAMA_MAX_SEQ of llama.cpp (src/llama-cparams.h)."""
# A test holds this equal to `assistant.config.KV_CACHE_TYPES`, whose import costs too much here.
KV_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


class NumCtx(click.ParamType[int]):
    """A context length in tokens: `32768`, `32k` (1024 each) or `1m`."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the tokens, or fail with what would be accepted."""
        if isinstance(value, int):
            return value
        text = str(value).strip().lower().replace(",", "").replace("_", "")
        factor = {"k": TOKENS_PER_K, "m": TOKENS_PER_K**2}.get(text[-1:], 1)
        digits = text[:-1] if factor > 1 else text
        if not digits.isdecimal() or not digits.isascii() or not digits.strip("0"):
            message = f"{value!r} is not a context length; give tokens, such as 8192 or 32k."
            self.fail(message, param, ctx)
        if len(digits) > len(str(LARGEST_NUM_CTX)) or int(digits) * factor > LARGEST_NUM_CTX:
            self.fail(f"{value!r} is more than any model's context.", param, ctx)
        return int(digits) * factor


def output_options(function: Callable[Concatenate[Output, P], R]) -> Callable[P, R]:
    """Add --json and --debug to a command and pass it an `Output` as its first argument."""

    @functools.wraps(function)
    def with_output(*args: P.args, **kwargs: P.kwargs) -> R:
        ctx = click.get_current_context()
        name = ctx.command_path.partition(" ")[2] or ctx.info_name or ""
        out = Output(name, as_json=bool(ctx.meta.get(JSON_KEY)))
        return function(out, *args, **kwargs)

    return _debug_option(_json_option(with_output))


def resolve_machine(spec: str | None) -> Machine:
    """Return the machine to estimate for: the one described, or this computer.

    Raises:
        MachineSpecError: the description makes no sense.
        FileProblemError: SPEC is a file that cannot be read.
    """
    if spec is not None:
        from assistant.machine.parse import load_machine

        return load_machine(spec)
    return detect_this_machine()


def detect_this_machine() -> Machine:
    """Return this computer, with what was measured on it before: bandwidth and models' speeds."""
    from assistant.errors import FileProblemError
    from assistant.machine.detect import detect_machine
    from assistant.machine.detect.measured_bandwidth import with_measured
    from assistant.machine.measured_runs import with_measured_runs
    from assistant.paths import cache_folder, data_folder

    machine = detect_machine()
    try:
        return with_measured_runs(data_folder(), with_measured(cache_folder(), machine))
    except FileProblemError:
        return machine


def examples(*lines: str) -> str:
    """Return an epilog that click prints as it is: one example command a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _remember_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[JSON_KEY] = True


_json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember_json,
    help="Print one JSON object instead of text.",
)
_debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    hidden=True,
)

machine_option = click.option(
    "--machine",
    "machine_spec",
    metavar="SPEC",
    help="A described machine instead of this one: words such as "
    '"RTX 3060 12GB, 32GB RAM", or a file written by `assistant hardware --json`.',
)
num_ctx_option = click.option(
    "--num-ctx",
    type=NumCtx(),
    metavar="TOKENS",
    help="Context length in tokens: 8192, 32k.  [default: what Ollama chooses]",
)
num_parallel_option = click.option(
    "--num-parallel",
    type=click.IntRange(min=1, max=LARGEST_NUM_PARALLEL),
    metavar="N",
    help="Requests served at once, each with its own context.",
)
num_batch_option = click.option(
    "--num-batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Prompt tokens evaluated at once.  [default: what Ollama chooses]",
)
kv_cache_type_option = click.option(
    "--kv-cache-type",
    type=click.Choice(KV_CACHE_TYPES),
    metavar="TYPE",
    help="Type of the KV cache: f16, q8_0, q4_0.  [default: f16]",
)
flash_attention_option = click.option(
    "--flash-attention",
    type=click.Choice(("on", "off")),
    callback=lambda _ctx, _param, value: None if value is None else value == "on",
    help="Flash attention.  [default: what Ollama chooses]",
)
offline_option = click.option(
    "--offline",
    is_flag=True,
    envvar="ASSISTANT_OFFLINE",
    help="Use no network at all.",
)
licence_option = click.option(
    "--license",
    "licence",
    type=click.Choice(("any", "commercial")),
    default="any",
    show_default=True,
    help="Only models whose licence simply allows commercial use.",
)
prefer_option = click.option(
    "--prefer",
    type=click.Choice(("speed", "quality", "balance")),
    default="balance",
    show_default=True,
    help="What counts more.",
)
