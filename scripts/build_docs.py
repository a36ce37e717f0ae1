"""Build docs/cli.md from the commands, and run the terminal blocks of the README and the docs.

    python scripts/build_docs.py            write
    python scripts/build_docs.py --check    fail when something is not as it would be written

A terminal block is a fence marked `console` whose first line is `$ assistant ...`; what follows
is replaced by what that command prints now. Only commands that do not look at this computer
belong there: they name a machine, or a question that does.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from assistant.cli.main import cli, run

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"^```console\n\$ assistant (?P<arguments>[^\n]*)\n.*?^```$", re.MULTILINE | re.DOTALL
)
INTRODUCTION = """\
# Commands

Made from the commands by `make docs`; edit their help texts instead.

Every command takes `--json`: one object on standard output, and nothing else there,
`{"schema": 1, "command": ..., "status": "ok" | "partial" | "error", "data": {...}, "errors":
[{"code", "message", "hint"}]}`, for errors too. Results go to standard output; progress, notes
and warnings to standard error. `NO_COLOR` and `FORCE_COLOR` are respected, pipes get plain text
80 columns wide, `COLUMNS` says otherwise.

## Exit codes

| code | meaning |
|--:|---|
| 0 | done; also when the reader of a pipe went away early |
| 1 | failed: a file, the catalog, a model registry, or a defect of the program |
| 2 | usage: an option, a model's name, or a machine's description is wrong |
| 3 | the Ollama server cannot be reached, is too old, or answered with an error |
| 4 | nothing that was asked for fits the machine |
| 5 | partly done: the result is there, and so is what went wrong |
| 130 | interrupted (Ctrl-C) |

## Environment

| variable | effect |
|---|---|
| `OLLAMA_HOST` | the Ollama server's address, in every form that Ollama accepts |
| `OLLAMA_CONTEXT_LENGTH` | the context length when neither the command nor the model fixes one |
| `OLLAMA_NUM_PARALLEL` | requests served at once, each with its own context |
| `OLLAMA_KV_CACHE_TYPE` | the type of the KV cache |
| `OLLAMA_FLASH_ATTENTION` | flash attention on or off |
| `OLLAMA_MODELS` | where Ollama keeps its models |
| `ASSISTANT_OFFLINE=1` | as `--offline` |
| `ASSISTANT_HOME` | one folder for all of this program's own files |
| `ASSISTANT_DEBUG=1` | as `--debug`: show the traceback of an error |
"""


def main() -> None:
    """Write the files, or say which are stale and end with 1."""
    parser = argparse.ArgumentParser(description="Build the generated documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args().check
    stale = False
    for path, built in build(ROOT).items():
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        if current == built:
            continue
        stale = True
        if check:
            name = str(path.relative_to(ROOT))
            diff = difflib.unified_diff(
                current.splitlines(), built.splitlines(), name, "fresh", "", ""
            )
            print("\n".join(diff))
        else:
            path.write_text(built, encoding="utf-8")
    if check and stale:
        print("Generated files are stale: run make docs.", file=sys.stderr)
        sys.exit(1)


def build(root: Path) -> dict[Path, str]:
    """Return the text of every file that is generated, whole or in part."""
    pages = {root / "docs" / "cli.md": reference()}
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        if path not in pages and path.exists():
            pages[path] = BLOCK.sub(_run_block, path.read_text(encoding="utf-8"))
    return pages


def reference() -> str:
    """Return docs/cli.md: every command's help as it is printed."""
    sections = [INTRODUCTION]
    with _terminal():
        for path, command in _commands(cli, ("assistant",)):
            context = click.Context(command, info_name=" ".join(path))
            level = "##" if len(path) <= 2 else "###"
            help_text = command.get_help(context)
            sections.append(f"{level} {' '.join(path)}\n\n```text\n{help_text}\n```\n")
    return "\n".join(sections)


def command_output(line: str) -> str:
    """Return what `assistant LINE` prints, piped, 80 columns wide, standard error after it."""
    out, err = io.StringIO(), io.StringIO()
    with _terminal(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(shlex.split(line))
    if code != 0:
        sys.exit(f"assistant {line}\nended with {code}:\n{err.getvalue()}")
    return out.getvalue() + err.getvalue()


def _commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not command.hidden:
        yield path, command
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _commands(child, (*path, name))


def _run_block(match: re.Match[str]) -> str:
    line = match["arguments"]
    return f"```console\n$ assistant {line}\n{command_output(line).rstrip()}\n```"


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    """Fix what output depends on: 80 columns, no colour, no settings of the person."""
    before = dict(os.environ)
    home = tempfile.TemporaryDirectory()
    for name in [n for n in os.environ if n.startswith(("OLLAMA_", "ASSISTANT_", "FORCE_"))]:
        del os.environ[name]
    os.environ |= {
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "OLLAMA_HOST": "127.0.0.1:1",
        "ASSISTANT_HOME": home.name,
    }
    try:
        yield
    finally:
        home.cleanup()
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    main()
