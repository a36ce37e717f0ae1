"""`assistant fit --plot FILE`: memory against context length, as a PNG or SVG drawing.

matplotlib is an extra (`pip install "local-model-assistant[plot]"`) and imported only here.
The file appears whole or not at all: it is drawn beside its place and then moved there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError, FileProblemError, UsageError
from assistant.fit.records import FitEstimate, MemoryParts
from assistant.units import GIB, tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg")
_SHORTEST: Final = 2048
_POINTS: Final = 33
_DPI: Final = 144
_PARTS: Final = (
    ("weights", "#4477aa", ("weights_bytes", "projector_bytes")),
    ("KV cache", "#aa3377", ("kv_cache_bytes", "recurrent_state_bytes")),
    ("buffers", "#66ccee", ("compute_buffer_bytes",)),
    ("driver", "#bbbbbb", ("overhead_bytes",)),
)


def check_plot_file(file: Path) -> None:
    """Check, before anything is estimated, that a drawing can be written there.

    Raises:
        UsageError: the extension is neither .png nor .svg.
        FileProblemError: the folder is not there or cannot be written to.
        AssistantError: matplotlib is not installed.
    """
    import importlib.util

    if file.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--plot writes .png or .svg files, not {file.name!r}.",
            hint=f"Try: --plot {file.stem or 'memory'}.svg",
        )
    folder = file.parent
    if not folder.is_dir():
        raise FileProblemError(f"there is no folder {str(folder)!r} to write {file.name!r} in.")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise FileProblemError(f"{str(file)!r} cannot be written.")
    if importlib.util.find_spec("matplotlib") is None:
        raise AssistantError(
            "--plot needs matplotlib, which is not installed.",
            hint='Install it with: pip install "local-model-assistant[plot]"',
        )


def context_lengths(longest: int, marked: int) -> tuple[int, ...]:
    """Return the context lengths to draw, rising, from 2,048 to `longest`, `marked` included."""
    last = max(longest, marked, _SHORTEST)
    step = max(256, (last - _SHORTEST) // (_POINTS - 1) // 256 * 256)
    inner = range(_SHORTEST, last, step)
    return tuple(sorted({*inner, marked, last}))


def write_plot(
    file: Path,
    estimate: FitEstimate,
    needs: Sequence[tuple[int, MemoryParts]],
    *,
    limit_bytes: int | None,
    limit_name: str,
    reserved_bytes: int = 0,
) -> None:
    """Draw the memory that each context length needs, with what there is as a line.

    `needs` are (num_ctx, all parts on one side); `estimate` names the model and the point
    that was asked for. Ollama does not fill the last `reserved_bytes`: a second line.

    Raises:
        FileProblemError: the file cannot be written.
    """
    figure = _figure(estimate, needs)
    if limit_bytes is not None:
        _draw_limits(figure.axes[0], limit_bytes, reserved_bytes, limit_name)
    figure.axes[0].legend(loc="upper left", fontsize="small", ncols=3)
    form = file.suffix.lower().removeprefix(".")
    _replace(file, lambda part: _save(figure, part, form))


def _figure(estimate: FitEstimate, needs: Sequence[tuple[int, MemoryParts]]) -> Figure:
    import logging

    # It says on stderr when it cannot keep its font cache, which changes nothing here.
    logging.getLogger("matplotlib").setLevel(logging.CRITICAL)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    contexts = [num_ctx for num_ctx, _ in needs]
    layers = [
        [sum(getattr(parts, field) for field in fields) / GIB for _, parts in needs]
        for _, _, fields in _PARTS
    ]
    axes.stackplot(
        contexts,
        *layers,
        labels=[label for label, _, _ in _PARTS],
        colors=[colour for _, colour, _ in _PARTS],
    )
    top = max(parts.total_bytes for _, parts in needs) / GIB
    marked = dict(needs).get(estimate.num_ctx)
    if marked is not None:
        _mark(axes, estimate, marked)
    quantization = f" ({estimate.quantization})" if estimate.quantization else ""
    axes.set_title(f"{estimate.model}{quantization}: memory against context length")
    axes.set_xlabel("context length (tokens)")
    axes.set_ylabel("memory (GiB)")
    axes.set_xlim(contexts[0], contexts[-1])
    axes.set_ylim(0, top * 1.2)
    axes.xaxis.set_major_formatter(lambda value, _position: tokens(round(value)))
    axes.set_xticks(_ticks(contexts[-1]))
    return figure


def _draw_limits(axes: Axes, limit: int, reserved: int, name: str) -> None:
    """Draw what there is, and what of it Ollama fills, as lines."""
    there, filled = limit / GIB, (limit - reserved) / GIB
    axes.axhline(there, color="#cc3311", label=f"{name}: {there:.1f} GiB")
    if reserved and filled > 0:
        label = f"filled by Ollama: {filled:.1f} GiB"
        axes.axhline(filled, color="#cc3311", linestyle="--", label=label)
    axes.set_ylim(0, max(axes.get_ylim()[1], there * 1.2))


def _mark(axes: Axes, estimate: FitEstimate, parts: MemoryParts) -> None:
    total = parts.total_bytes / GIB
    axes.plot([estimate.num_ctx], [total], "o", color="black")
    axes.annotate(
        f"{tokens(estimate.num_ctx)}: {total:.1f} GiB",
        (estimate.num_ctx, total),
        xytext=(8, -16),
        textcoords="offset points",
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )


def _ticks(last: int) -> list[int]:
    """Return round context lengths up to `last`, at most nine."""
    step = 1024
    while last // step > 8:
        step *= 2
    return list(range(step, last + 1, step))


def _save(figure: Figure, part: Path, form: str) -> None:
    import matplotlib as mpl

    # A fixed salt and no date: the same estimate gives the same SVG, byte for byte.
    with mpl.rc_context({"svg.hashsalt": "assistant", "svg.fonttype": "none"}):
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(part, format=form, dpi=_DPI, metadata=metadata)


def _replace(file: Path, write: Callable[[Path], None]) -> None:
    """Write beside `file` and move there; whatever fails, `file` is as it was."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileProblemError(f"{str(file)!r} cannot be written: {reason}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
