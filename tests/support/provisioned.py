"""Aliases on the test server and in the ledger, made by the same calls that setup makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from assistant.models.names import parse_model_name
from assistant.ollama.client import OllamaClient
from assistant.ollama.modelfile import Modelfile, create_request, parse_modelfile, render_modelfile
from assistant.provision.drift import installed_as
from assistant.provision.ledger import read_ledger, with_entry, write_ledger
from assistant.provision.records import (
    BACKUP_TAG,
    CANDIDATE_TAG,
    Expectation,
    LedgerEntry,
    Measured,
    alias_of,
)


def modelfile_text(model: str, num_ctx: int, system: str | None = "Be brief.") -> str:
    """Return a small Modelfile."""
    parameters = (("num_ctx", str(num_ctx)), ("temperature", "0.7"))
    return render_modelfile(Modelfile(model, parameters, system=system))


def set_up(
    client: OllamaClient,
    role: str,
    model: str,
    *,
    num_ctx: int = 2048,
    system: str | None = "Be brief.",
    at: str = "2026-11-20T10:00:00+00:00",
    decode: float | None = 31.4,
    alias: str | None = None,
    folder: Path | None = None,
) -> LedgerEntry:
    """Create, activate and note one version; a foreign model under the alias is kept first."""
    name = alias or alias_of(role)
    ledger = read_ledger(folder)
    installed = client.installed_models()
    found, history = installed_as(name, installed), ledger.of_alias(name)
    backup = None
    if found is not None and (history is None or history.entry is None):
        backup = f"{name}:{BACKUP_TAG}"
        client.copy(name, backup)
    base = installed_as(model, installed)
    assert base is not None
    text = modelfile_text(model, num_ctx, system)
    candidate = parse_model_name(name).with_tag(CANDIDATE_TAG).render()
    list(client.create(create_request(parse_modelfile(text), name=candidate)))
    client.copy(candidate, name)
    client.delete(candidate)
    made = installed_as(name, client.installed_models())
    assert made is not None
    entry = LedgerEntry(
        alias=name,
        role=None if alias else role,
        model=model,
        num_ctx=num_ctx,
        modelfile=text,
        created_at=at,
        digest=base.digest,
        blob_digest=client.show(model).blob_digest,
        alias_digest=made.digest,
        quantization=base.quantization,
        size_bytes=base.size_bytes,
        source="registry.ollama.ai",
        licence="Apache-2.0",
        parameters={"num_ctx": num_ctx, "temperature": 0.7},
        expected=Expectation("cpu", num_ctx, 200_000_000, 0, 22.0, 31.0, 41.0),
        measured=Measured(at, 209_505_483, 0, num_ctx, 2.8, 400.0, decode),
    )
    write_ledger(with_entry(ledger, entry, backup=backup), folder)
    return entry


def plain_entry(**changes: object) -> LedgerEntry:
    """Return an entry that no server was asked for."""
    entry = LedgerEntry(
        alias="assistant-chat",
        role="chat",
        model="smollm2:135m",
        num_ctx=2048,
        modelfile=modelfile_text("smollm2:135m", 2048),
        created_at="2026-11-20T10:00:00+00:00",
        digest="a" * 64,
        blob_digest=f"sha256:{'b' * 64}",
        alias_digest="c" * 64,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]
