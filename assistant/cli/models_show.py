"""What `assistant models show` and `history` show: data for --json, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from assistant.cli.layout import Column, fitted_table, paragraph, side_by_side, unbroken
from assistant.cli.models_server import ServerView
from assistant.cli.models_text import drift_data, gpu_share_words, server_data, speed_words
from assistant.ollama.records import InstalledModel, LoadedModel, ShownModel
from assistant.provision.drift import Drift, drift_notes, drift_of, installed_as, name_key
from assistant.provision.inventory import Target
from assistant.provision.records import AliasHistory, LedgerEntry
from assistant.provision.undo import is_base_gone, rollback_kind
from assistant.units import gb, gib, tokens

_SHORT: Final = 12
"""Characters of a digest that `ollama list` shows."""


@dataclass(frozen=True, slots=True)
class Bases:
    """What the server still has of what versions are made from.

    `installed` is None when it was not asked; `lost` are the aliases whose version before cannot
    be made again.
    """

    installed: tuple[InstalledModel, ...] | None = None
    lost: tuple[str, ...] = ()

    def has(self, version: LedgerEntry) -> bool | None:
        """Return whether the base of a version is on the server; None when it was not asked."""
        return None if self.installed is None else not is_base_gone(version, self.installed)


_NOT_ASKED: Final = Bases()


def show_data(target: Target, view: ServerView, shown: ShownModel | None) -> dict[str, Any]:
    """Return one model as data: `ledger` is what was set up, `installed` what the server says."""
    history = target.history
    drift = _drift(target, view)
    return {
        "name": target.name,
        "role": target.role,
        "server": server_data(view),
        "ledger": None if history is None or history.entry is None else asdict(history.entry),
        "previous": None if history is None or history.before is None else asdict(history.before),
        "backup": None if history is None else history.backup,
        "rollback": None if history is None else rollback_kind(history),
        "installed": None if target.installed is None else _installed_data(target.installed, shown),
        "loaded": None if (found := _loaded(target, view)) is None else asdict(found),
        "drift": None if drift is None else drift_data(drift),
    }


def render_show(target: Target, view: ServerView, shown: ShownModel | None, *, width: int) -> str:
    """Return one model as text."""
    history = target.history
    entry = None if history is None else history.entry
    if history is not None and entry is not None:
        return _render_entry(history, entry, target, view, width=width)
    parts = []
    if history is not None:
        said = f"{history.alias} was set up once and is no longer in use."
        parts.append(paragraph(said, width=width))
    if target.installed is not None:
        parts.append(_render_installed(target, target.installed, view, shown, width=width))
    elif history is not None:
        said = f"Its versions: assistant models history {history.role or history.alias}"
        parts.append(paragraph(unbroken(said), width=width))
    return "\n\n".join(parts)


def history_data(histories: Sequence[AliasHistory], bases: Bases = _NOT_ASKED) -> dict[str, Any]:
    """Return versions as data, oldest first; `base_on_server` is null where nobody said."""
    return {
        "aliases": [
            {
                "alias": history.alias,
                "role": history.role,
                "current": history.current,
                "rollback": rollback_kind(history),
                "rollback_works": rollback_works(history, bases),
                "backup": history.backup,
                "versions": [
                    {**asdict(version), "replaced": before, "base_on_server": bases.has(version)}
                    for version, before in zip(history.versions, history.previous, strict=True)
                ],
            }
            for history in histories
        ]
    }


def render_history(
    histories: Sequence[AliasHistory], bases: Bases = _NOT_ASKED, *, width: int
) -> str:
    """Return versions as text, oldest first, and what a rollback would bring back."""
    if not histories:
        return "Nothing was set up yet: assistant setup"
    return "\n\n".join(_one_history(history, bases, width=width) for history in histories)


def rollback_works(history: AliasHistory, bases: Bases) -> bool | None:
    """Return whether what a rollback needs is on the server; None when that is not known."""
    kind = rollback_kind(history)
    if kind in (None, "remove"):
        return kind is not None
    if bases.installed is None:
        return None
    if kind == "backup":
        return installed_as(history.backup or "", bases.installed) is not None
    return history.alias not in bases.lost


def modelfile_lines(text: str, *, width: int, indent: str = "") -> str:
    """Return a Modelfile to be read: lines that are too long for the terminal go on below."""
    lines = []
    for line in text.splitlines():
        more = f"{indent}#     " if line.startswith("#") else f"{indent}    "
        shown = paragraph(line, width=width, indent=indent, hanging=more)
        lines.append(indent + line if len(indent + line) <= width else shown)
    return "\n".join(lines)


def version_words(entry: LedgerEntry) -> str:
    """Return a version in a few words: `gemma4:12b (Q4_K_M) at 16k`."""
    level = f" ({entry.quantization})" if entry.quantization else ""
    return f"{entry.model}{level} at {tokens(entry.num_ctx)}"


def rollback_words(history: AliasHistory, bases: Bases = _NOT_ASKED) -> str | None:
    """Return what `assistant rollback` would do, or None when there is nothing."""
    kind = rollback_kind(history)
    if history.alias in bases.lost and history.before is not None:
        return (
            f"cannot bring back {version_words(history.before)}: its base is gone "
            f"(ollama\u00a0pull\u00a0{history.before.model})"
        )
    if kind == "version" and history.before is not None:
        return f"brings back {version_words(history.before)} of {_day(history.before.created_at)}"
    if kind == "backup":
        return f"brings back the model from before setup, kept as {history.backup}"
    return "removes the alias: nothing was there before" if kind == "remove" else None


def _render_entry(
    history: AliasHistory,
    entry: LedgerEntry,
    target: Target,
    view: ServerView,
    *,
    width: int,
) -> str:
    purpose = f"serves {entry.role} with" if entry.role else "is"
    rows = [
        ("size", "-" if entry.size_bytes is None else gb(entry.size_bytes)),
        ("licence", entry.licence or "not known"),
        ("source", entry.source or "not known"),
        ("set up", _moment(entry.created_at)),
        ("digests", _digests(entry)),
        ("measured", _measured(entry)),
        ("expected", _expected(entry)),
        ("now", _now(target, view)),
        ("rollback", rollback_words(history) or "nothing to go back to"),
    ]
    name = entry.role or entry.alias
    return "\n\n".join(
        (
            paragraph(
                f"{entry.alias} {purpose} {version_words(entry)} tokens of context.", width=width
            ),
            _pairs(rows, width=width),
            f"Its Modelfile:\n{modelfile_lines(entry.modelfile, width=width, indent='  ')}",
            side_by_side(
                f"Versions: assistant models history {name}",
                f"Undo: assistant rollback {name}",
                width=width,
            ),
        )
    )


def _render_installed(
    target: Target,
    found: InstalledModel,
    view: ServerView,
    shown: ShownModel | None,
    *,
    width: int,
) -> str:
    details = [word for word in (found.parameter_size, found.quantization) if word]
    what = f" ({', '.join(details)})" if details else ""
    headline = f"{found.name}{what} is on the server; it was not set up by this program."
    rows = [
        ("size", "-" if found.size_bytes is None else gb(found.size_bytes)),
        ("digest", _short(found.digest)),
    ]
    if shown is not None:
        rows += _shown_rows(shown)
    loaded = _loaded(target, view)
    if loaded is not None:
        rows.append(("now", _loaded_words(loaded)))
    last = side_by_side(
        f"Will it fit: assistant fit {found.name}",
        f"Tune it: assistant tune {found.name}",
        width=width,
    )
    return "\n\n".join(
        (
            paragraph(headline, width=width),
            _pairs(rows, width=width),
            last,
        )
    )


def _pairs(rows: Sequence[tuple[str, str]], *, width: int) -> str:
    """Return names and values below one another; what has no value is left out."""
    known = [row for row in rows if row[1]]
    names, values = ([row[side] for row in known] for side in (0, 1))
    return fitted_table((Column("", names), Column("", values)), width=width)


def _shown_rows(shown: ShownModel) -> list[tuple[str, str]]:
    trained = _trained(shown)
    licence = next(
        (line.strip() for line in (shown.licence or "").splitlines() if line.strip()), ""
    )
    context = [f"{tokens(trained)} trained" if trained else ""]
    context += [f"{tokens(shown.num_ctx)} set by its Modelfile" if shown.num_ctx else ""]
    parameters = (
        f"{name} {' '.join(value) if isinstance(value, tuple) else value}"
        for name, value in shown.parameters.items()
    )
    return [
        ("file", _short(shown.blob_digest)),
        ("can do", ", ".join(sorted(shown.capabilities))),
        ("context", ", ".join(word for word in context if word)),
        ("parameters", "; ".join(parameters)),
        ("licence", licence),
        ("runs at", shown.remote_host or ""),
    ]


def _one_history(history: AliasHistory, bases: Bases, *, width: int) -> str:
    versions = history.versions
    columns = (
        Column("", [str(index + 1) for index in range(len(versions))], "r"),
        Column("set up (UTC)", [_moment(version.created_at) for version in versions]),
        Column("model", [version.model for version in versions]),
        Column("quant", [version.quantization or "-" for version in versions], drop=1),
        Column("context", [_context(version) for version in versions], "r", word="context"),
        Column("measured", [speed_words(version.measured) for version in versions], "r", drop=2),
        Column("", [_marks(history, index, bases) for index in range(len(versions))]),
    )
    title = history.alias + (f", for {history.role}" if history.role else "")
    if history.current is None:
        title += ": no longer in use"
    parts = [paragraph(title, width=width), fitted_table(columns, width=width)]
    words = rollback_words(history, bases)
    if words is not None:
        command = unbroken(f"assistant rollback {history.role or history.alias}")
        parts.append(paragraph(f"{command} {words}.", width=width))
    return "\n".join(parts)


def _marks(history: AliasHistory, index: int, bases: Bases) -> str:
    version, marks = history.versions[index], []
    if index == history.current:
        marks.append("in use")
    elif rollback_kind(history) == "version" and version is history.before:
        marks.append("before")
    if bases.has(version) is False:
        marks.append("base gone")
    return ", ".join(marks)


def _context(version: LedgerEntry) -> str:
    """Return the context, and the type of the KV cache where that is not the usual f16."""
    kind = version.estimate.get("kv_cache_type")
    return tokens(version.num_ctx) + (f" {kind}" if kind and kind != "f16" else "")


def _digests(entry: LedgerEntry) -> str:
    named = (("base", entry.digest), ("file", entry.blob_digest), ("alias", entry.alias_digest))
    return ", ".join(f"{name}\u00a0{_short(digest)}" for name, digest in named if digest)


def _measured(entry: LedgerEntry) -> str:
    found = entry.measured
    if found is None:
        return "not yet"
    share, said = found.gpu_share, []
    if found.decode_tokens_per_s is not None:
        said.append(f"{found.decode_tokens_per_s:.3g}\u00a0tokens/s")
    if found.prompt_tokens_per_s is not None:
        said.append(f"prompt {found.prompt_tokens_per_s:,.0f}\u00a0tokens/s")
    if found.dimension is not None:
        said.append(f"vectors of {found.dimension:,}")
    if share is not None:
        said.append(f"{share:.0%} on the GPU" if share else "on the CPU")
    if found.size_bytes is not None:
        said.append(gib(found.size_bytes))
    if found.load_s is not None:
        said.append(f"loads in {found.load_s:.1f}\u00a0s")
    if found.called_tool is not None:
        said.append("called a tool" if found.called_tool else "did not call a tool")
    return ", ".join((*said, _moment(found.at)))


def _expected(entry: LedgerEntry) -> str:
    expected = entry.expected
    if expected is None:
        return ""
    said = []
    if expected.decode_low is not None and expected.decode_high is not None:
        said.append(f"{expected.decode_low:.3g} to {expected.decode_high:.3g}\u00a0tokens/s")
    if expected.size_bytes is not None:
        said.append(gib(expected.size_bytes))
    where = {"gpu": "entirely on the GPU", "partial": "partly on the CPU", "cpu": "on the CPU"}
    return ", ".join((*said, where.get(expected.verdict, expected.verdict)))


def _now(target: Target, view: ServerView) -> str:
    drift = _drift(target, view)
    if drift is None:
        return "not known: no server answers"
    notes = drift_notes(drift)
    said = [note.what for note in notes] or ["On the server as it was set up."]
    fix = next((note.fix for note in notes if note.fix), None)
    loaded = _loaded(target, view)
    if loaded is not None:
        said.insert(0, _loaded_words(loaded))
    if fix is not None:
        said.append(f"Make it again with: {unbroken(fix)}")
    return " ".join(said)


def _loaded_words(loaded: LoadedModel) -> str:
    share = gpu_share_words(loaded)
    context = f" with {tokens(loaded.num_ctx)} of context" if loaded.num_ctx else ""
    return f"Loaded{context}{', ' + share if share else ''}."


def _drift(target: Target, view: ServerView) -> Drift | None:
    entry = None if target.history is None else target.history.entry
    if entry is None or view.installed is None:
        return None
    return drift_of(entry, installed=view.installed)


def _loaded(target: Target, view: ServerView) -> LoadedModel | None:
    key = name_key(target.name)
    return next((model for model in view.loaded if name_key(model.name) == key), None)


def _installed_data(found: InstalledModel, shown: ShownModel | None) -> dict[str, Any]:
    data = asdict(found)
    if shown is not None:
        data |= {
            "blob_digest": shown.blob_digest,
            "capabilities": sorted(shown.capabilities),
            "context_length": _trained(shown),
            "num_ctx": shown.num_ctx,
            "parameters": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in shown.parameters.items()
            },
            "system": shown.system,
            "license": shown.licence,
            "modelfile": shown.modelfile,
            "remote_host": shown.remote_host,
        }
    return data


def _trained(shown: ShownModel) -> int | None:
    value = shown.metadata.get(f"{shown.metadata.get('general.architecture')}.context_length")
    return value if isinstance(value, int) else None


def _short(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")[:_SHORT]


def _day(moment: str) -> str:
    return moment[:10]


def _moment(moment: str) -> str:
    return moment[:16].replace("T", " ")
