"""How two answers are compared: the recorded one of a real server, and one given now.

What counts is status, content type, framing, the keys and JSON types of each kind of line, the
order of the kinds, and the words of errors without what is a server's own.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pytest

SMALL = 65_536


@dataclass
class Answer:
    """What came back: status, content type, framing, and the body as lines or as one value."""

    status: int
    kind: str | None
    framing: str
    lines: list[Any] | None
    value: Any
    ended: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


def ask(host: str, method: str, path: str, body: bytes | None) -> Answer:
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        ended = True
        try:
            raw = response.read()
        except http.client.IncompleteRead as error:
            raw, ended = error.partial, False
        kind = response.getheader("content-type")
        chunked = response.getheader("transfer-encoding") is not None
        length = response.getheader("content-length") is not None
        framing = "chunked" if chunked else "length" if length else "none"
        text = raw.decode()
        streamed = kind in {"application/x-ndjson", "text/event-stream"}
        lines = [_read(line) for line in text.splitlines()] if streamed else None
        return Answer(
            response.status,
            kind,
            framing,
            lines,
            None if streamed or not text else _read(text),
            ended,
            {name.lower(): value for name, value in response.getheaders()},
        )
    finally:
        connection.close()


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def shape(value: Any) -> Any:
    """Return keys and JSON types; a list is the set of the shapes in it."""
    if isinstance(value, dict):
        return tuple(sorted((key, shape(item)) for key, item in value.items()))
    if isinstance(value, list):
        items = [i for i in value if not (isinstance(i, str) and i.endswith("items left out"))]
        return ("list", tuple(sorted({repr(shape(item)) for item in items})))
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, (int, float)) else "text"


def plain(text: str) -> str:
    """Return an error without what is this server's own: digests, addresses, paths, counts."""
    text = re.sub(r"sha256([:-])[0-9a-f]{64}", r"sha256\1DIGEST", text)
    text = re.sub(r"(?<!\d)(?:\d+\.\d+\.\d+\.\d+|localhost)(?::\d+)?", "HOST", text)
    text = text.replace("/usr/share/ollama/.ollama/models", "MODELS")
    return re.sub(r"(request \(|n_prompt_tokens\\*\":)\d+", r"\1N", text)


def kind_of(line: Any) -> str:
    """Return what sort of line it is, in a word or with the words that matter."""
    if isinstance(line, str):
        return "event" if line.startswith("data: {") else line
    if "error" in line:
        return "error: " + plain(str(line["error"]))
    if "status" in line:
        return str(re.sub(r"[0-9a-f]{12,64}", "DIGEST", line["status"]))
    if line.get("done"):
        return f"done: {line.get('done_reason')}"
    message = line.get("message", line)
    return next((k for k in ("tool_calls", "thinking") if message.get(k)), "text")


def told(lines: list[Any]) -> list[str]:
    """Return the kinds of lines in order; progress and text count once, small layers not."""
    kept = [
        line
        for line in lines
        if not (isinstance(line, dict) and line.get("total", SMALL) < SMALL and len(line) == 3)
    ]
    kinds = [
        (kind_of(line), isinstance(line, str) or "status" not in line or "total" in line)
        for line in kept
    ]
    order: list[str] = []
    for (kind, collapses), run in groupby(kinds):
        order += [kind] if collapses else [kind for _ in run]
    return order


def shapes(lines: list[Any]) -> dict[str, set[Any]]:
    """Return the shapes of every kind of line; `completed` may be there or not."""
    found: dict[str, set[Any]] = {}
    for line in lines:
        if isinstance(line, str):
            event = json.loads(line[6:]) if line.startswith("data: {") else line
            found.setdefault("event" if event != line else line, set()).add(shape(event))
        else:
            told_always = {key: value for key, value in line.items() if key != "completed"}
            found.setdefault(kind_of(line), set()).add(shape(told_always))
    return found


def compare(got: Answer, wanted: Answer, *, cut_short: bool) -> None:
    assert got.status == wanted.status
    assert got.kind == wanted.kind
    assert got.framing == wanted.framing
    assert got.headers.get("allow") == wanted.headers.get("allow")
    assert (got.lines is None) == (wanted.lines is None)
    if wanted.lines is None:
        return compare_value(got.value, wanted.value)
    assert got.lines is not None
    assert got.ended == wanted.ended
    order = told(wanted.lines)
    assert told(got.lines)[: len(order) if cut_short else None] == order
    mine, theirs = shapes(got.lines), shapes(wanted.lines)
    for kind in theirs:
        if kind in mine:
            assert mine[kind] == theirs[kind], kind
    return None


def compare_value(got: Any, wanted: Any) -> None:
    if isinstance(wanted, dict) and isinstance(wanted.get("error"), str):
        assert {"error": plain(got["error"])} == {"error": plain(wanted["error"])}
        return
    if isinstance(wanted, str):
        assert got == wanted
        return
    assert shape(got) == shape(wanted)
    if isinstance(wanted, dict) and "models" in wanted:
        compare_models(got["models"], wanted["models"])
    if isinstance(wanted, dict) and "done_reason" in wanted:
        assert got["done_reason"] == wanted["done_reason"]
    if isinstance(wanted, dict) and "capabilities" in wanted:
        told = {k: got.get(k) for k in ("capabilities", "details", "template", "modelfile")}
        assert told == {k: wanted.get(k) for k in told}


def compare_models(got: list[Any], wanted: list[Any]) -> None:
    """Compare what a listing says of each model; sizes in memory to a thirtieth."""
    mine, theirs = ({m["name"]: m for m in models} for models in (got, wanted))
    assert set(mine) == set(theirs)
    for name, model in theirs.items():
        if "expires_at" in model:
            assert mine[name]["size"] == pytest.approx(model["size"], rel=0.04)
            forever = [m["expires_at"].startswith("2319") for m in (mine[name], model)]
            assert forever[0] == forever[1]
        else:
            assert mine[name]["size"] == model["size"]
        for key in ("size_vram", "context_length", "capabilities", "details"):
            assert mine[name].get(key) == model.get(key)
