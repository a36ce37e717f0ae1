"""What `assistant models show` and `history` show: data for --json, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from assistant.cli.layout import paragraph, table
from assistant.cli.models_server import ServerView
from assistant.cli.models_text import NBSP, drift_data, gpu_share_words, server_data
from assistant.ollama.records import InstalledModel, LoadedModel, ShownModel
from assistant.provision.drift import Drift, drift_notes, drift_of, name_key
from assistant.provision.inventory import Target
from assistant.provision.records import AliasHistory, LedgerEntry
from assistant.provision.undo import rollback_kind
from assistant.units import gb, gib, tokens

_SHORT: Final = 12
"""Characters of a digest that `ollama list` shows."""


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
        parts.append(f"{history.alias} was set up once and is no longer in use.")
    if target.installed is not None:
        parts.append(_render_installed(target, target.installed, view, shown, width=width))
    elif history is not None:
        parts.append(f"Its versions: assistant models history {history.role or history.alias}")
    return "\n\n".join(parts)


def history_data(histories: Sequence[AliasHistory]) -> dict[str, Any]:
    """Return versions as data, oldest first."""
    return {
        "aliases": [
            {
                "alias": history.alias,
                "role": history.role,
                "current": history.current,
                "rollback": rollback_kind(history),
                "backup": history.backup,
                "versions": [
                    {**asdict(version), "replaced": before}
                    for version, before in zip(history.versions, history.previous, strict=True)
                ],
            }
            for history in histories
        ]
    }


def render_history(histories: Sequence[AliasHistory], *, width: int) -> str:
    """Return versions as text, oldest first, and what a rollback would bring back."""
    if not histories:
        return "Nothing was set up yet: assistant setup"
    return "\n\n".join(_one_history(history, width=width) for history in histories)


def version_words(entry: LedgerEntry) -> str:
    """Return a version in a few words: `gemma4:12b (Q4_K_M) at 16k`."""
    level = f" ({entry.quantization})" if entry.quantization else ""
    return f"{entry.model}{level} at {tokens(entry.num_ctx)}"


def rollback_words(history: AliasHistory) -> str | None:
    """Return what `assistant rollback` would do, or None when there is nothing."""
    kind = rollback_kind(history)
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
            f"{entry.alias} {purpose} {version_words(entry)} tokens of context.",
            table((), [row for row in rows if row[1]], width=width),
            "Its Modelfile:\n" + "\n".join(f"  {line}" for line in entry.modelfile.splitlines()),
            f"Versions: assistant models history {name}      Undo: assistant rollback {name}",
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
    last = f"Will it fit: assistant fit {found.name}      Tune it: assistant tune {found.name}"
    return "\n\n".join(
        (
            paragraph(headline, width=width),
            table((), [row for row in rows if row[1]], width=width),
            last,
        )
    )


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


def _one_history(history: AliasHistory, *, width: int) -> str:
    rows = []
    for index, version in enumerate(history.versions):
        marks = []
        if index == history.current:
            marks.append("in use")
        elif rollback_kind(history) == "version" and version is history.before:
            marks.append("before")
        speed = version.measured.decode_tokens_per_s if version.measured else None
        rows.append(
            (
                str(index + 1),
                _day(version.created_at),
                version.model,
                version.quantization or "-",
                tokens(version.num_ctx),
                "-" if speed is None else f"{speed:.3g} t/s",
                ", ".join(marks),
            )
        )
    title = history.alias + (f", for {history.role}" if history.role else "")
    if history.current is None:
        title += ": no longer in use"
    headers = ("", "set up", "model", "quant", "context", "measured", "")
    parts = [title, table(headers, rows, align="rlllrrl", width=width)]
    words = rollback_words(history)
    if words is not None:
        name = history.role or history.alias
        parts.append(paragraph(f"assistant rollback {name} {words}.", width=width))
    return "\n".join(parts)


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
        said.append(f"Make it again with: {fix.replace(' ', NBSP)}")
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
