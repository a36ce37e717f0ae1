"""Reading a Modelfile and looking up what it names, for `assistant modelfile lint`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.cli.options import resolve_machine
from assistant.errors import AssistantError, FileProblemError, UsageError

if TYPE_CHECKING:
    from assistant.cli.modelfile_text import Checked
    from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
    from assistant.machine.records import Machine
    from assistant.provision.lint_records import Lines

MAX_BYTES: Final = 2_000_000
"""Templates and licences are some 10 kB; what is far beyond is no Modelfile."""
_STDIN: Final = "-"


def check_file(file: str, machine_spec: str | None, *, offline: bool) -> Checked:
    """Return a Modelfile's findings, with all that could be looked up for them."""
    from assistant.cli.modelfile_text import Checked
    from assistant.ollama.modelfile import ModelfileError, parse_lines
    from assistant.provision.lint import lint_modelfile
    from assistant.provision.lint_records import Lines

    text = _read(file)
    name = "standard input" if file == _STDIN else file
    folder = Path() if file == _STDIN else Path(file).parent
    try:
        lines = Lines(parse_lines(text))
    except ModelfileError:
        return Checked(name, None, lint_modelfile(text))
    facts, problem, missing = _looked_up(lines, folder, offline=offline)
    if facts is None:
        found = lint_modelfile(text, from_problem=problem, missing_files=missing)
        return Checked(name, None, found)
    machine = resolve_machine(machine_spec)
    estimate, largest = _estimated(lines, facts, machine, described=machine_spec is not None)
    wants_version = bool(lines.of("requires")) and machine_spec is None
    found = lint_modelfile(
        text,
        facts=facts,
        estimate=estimate,
        largest_on_gpu=largest,
        server_version=_server_version(offline=offline) if wants_version else None,
        missing_files=missing,
    )
    return Checked(name, facts.name, found, estimate)


def _looked_up(
    lines: Lines, folder: Path, *, offline: bool
) -> tuple[ModelFacts | None, str | None, frozenset[str]]:
    """Return the facts of the model in FROM, why there are none, and which files are missing."""
    from assistant.cli.model_sources import Sources
    from assistant.ollama.modelfile import names_a_blob, names_a_file

    named = [each.value or "" for each in lines.of("from", "adapter", "draft")]
    missing = frozenset(
        each
        for each in named
        if names_a_file(each) and not names_a_blob(each) and not _inside(folder, each).exists()
    )
    sources = [each.value for each in lines.of("from") if each.value]
    names = [each for each in sources if not names_a_file(each)]
    if not sources or (not names and sources[0] in missing):
        return None, None, missing
    source = names[-1] if names else sources[0]
    if names_a_file(source):
        path = _inside(folder, source)
        if not path.is_file():
            return None, None, missing
        source = str(path.absolute())
    try:
        return Sources(offline=offline).facts(source), None, missing
    except AssistantError as error:
        return None, error.message, missing


def _inside(folder: Path, named: str) -> Path:
    return folder / Path(named).expanduser()


def _estimated(
    lines: Lines, facts: ModelFacts, machine: Machine, *, described: bool
) -> tuple[FitEstimate, int | None]:
    """Return what the file's settings take, and the longest context that stays on the GPU."""
    from dataclasses import replace

    from assistant.fit.estimate import estimate_fit

    def count(name: str) -> int | None:
        number = lines.number(name)
        return None if number is None or number < 1 else int(number)

    num_gpu = lines.number("num_gpu")
    options = replace(
        server_options(described=described),
        num_ctx=count("num_ctx"),
        num_batch=count("num_batch"),
    )
    free = estimate_fit(facts, machine, options, with_speed=False)
    if num_gpu is None or num_gpu < 0:
        return free, free.limits.max_num_ctx_on_gpu
    fixed = replace(options, num_gpu=int(num_gpu))
    estimate = estimate_fit(facts, machine, fixed, with_limits=False, with_speed=False)
    return estimate, free.limits.max_num_ctx_on_gpu


def _server_version(*, offline: bool) -> str | None:
    from assistant.ollama.detect import detect_server
    from assistant.ollama.server_address import configured_address

    try:
        address = configured_address()
    except UsageError:
        return None
    if offline and not address.is_local:
        return None
    return detect_server(address)[0].version


def _read(file: str) -> str:
    """Return the text of a Modelfile, from a file or standard input.

    Raises:
        FileProblemError: it cannot be read, or is no text.
    """
    if file == _STDIN:
        return sys.stdin.read(MAX_BYTES)
    path = Path(file)
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileProblemError(
            f"{file!r} cannot be read: {(error.strerror or str(error)).lower()}.",
            hint="Give the path of a Modelfile, or - for standard input.",
        ) from error
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if len(content) > MAX_BYTES or "\0" in text:
        raise FileProblemError(
            f"{file!r} is not a Modelfile: it is not text, or far too long.",
            hint="A GGUF file is not linted but estimated: assistant fit FILE",
        )
    return text


def server_options(*, described: bool) -> RunOptions:
    """Return what Ollama's environment variables fix; they are about this computer only."""
    from typing import cast

    from assistant.config import read_settings
    from assistant.fit.records import KvCacheType, RunOptions

    if described:
        return RunOptions()
    settings = read_settings()
    return RunOptions(
        num_parallel=settings.num_parallel.value or 1,
        kv_cache_type=cast("KvCacheType", settings.kv_cache_type.value or "f16"),
        flash_attention=settings.flash_attention.value,
    )
