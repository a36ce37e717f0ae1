'''Modelfiles: their text as a record and back, and as the body of `POST /api/create`.

The grammar is that of Ollama's `parser/parser.go` (August 2026). Commands are read in any case,
parameter names are not. One blank ends a command or a parameter's name; the value goes to the
end of the line, or from `"` or `"""` to the same marks at the end of a line. Only characters
that print are kept, besides blanks, tabs and line ends inside quotes. A text with a line that
ends in `"""` before its last cannot be written at all.
'''

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from assistant.errors import AssistantError
from assistant.ollama.modelfile_parameters import (
    DEPRECATED_PARAMETERS,
    KIND_WORDS,
    KNOWN_PARAMETERS,
    typed_value,
)

COMMANDS: Final = (
    "from", "parameter", "template", "system", "adapter", "license", "message", "requires",
    "renderer", "parser", "draft",
)  # fmt: skip
MESSAGE_ROLES: Final = ("system", "user", "assistant")
_BLANKS: Final = " \t"
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_CLOSING: Final = {
    '"""': re.compile(r'"""[ \t]*(?=[\r\n]|\Z)'),
    '"': re.compile(r'"[ \t]*(?=[\r\n]|\Z)'),
}
_PARAMETER_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_BLOB: Final = re.compile(r"(?:^|[/\\])sha256[-:]([0-9a-f]{64})$")
_FILE_ENDINGS: Final = (".gguf", ".bin", ".safetensors")
_MUST_BE_FILES: Final = "Upload them with: ollama create NAME -f FILE"


class ModelfileError(AssistantError):
    """The text is not a Modelfile that Ollama would take; `line` says where, if it is known."""

    code = "bad_modelfile"

    def __init__(self, message: str, *, line: int | None = None, hint: str | None = None) -> None:
        where = "" if line is None else f"line {line} of the Modelfile: "
        super().__init__(where + message, hint=hint or "Check it: assistant modelfile lint FILE")
        self.what = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says. Texts are without their quotes, and None where a line is missing.

    `parameters` are in order, a repeated one (`stop`) several times. `more_from` are further
    FROM lines: the projector beside a GGUF file. `messages` are (role, text). `comments` are
    the lines before the first instruction, without `# `.
    """

    from_: str
    parameters: tuple[tuple[str, str], ...] = ()
    system: str | None = None
    template: str | None = None
    adapters: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    requires: str | None = None
    renderer: str | None = None
    parser: str | None = None
    draft: str | None = None
    comments: tuple[str, ...] = ()
    more_from: tuple[str, ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of a parameter, in order."""
        return tuple(value for key, value in self.parameters if key == name)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction as it stands in the text, right or wrong.

    `command` is in lower case. `name` is a parameter's name or a message's role, else empty.
    `value` is None when the line ends before there is one.
    """

    line: int
    command: str
    value: str | None
    name: str = ""


def parse_modelfile(text: str) -> Modelfile:
    """Return what a Modelfile says. Where a line may stand once, the last one counts.

    Raises:
        ModelfileError: Ollama's parser would refuse it; the message has the line.
    """
    instructions = parse_lines(text)
    for instruction in instructions:
        problem = instruction_problem(instruction)
        if problem is not None:
            raise ModelfileError(problem, line=instruction.line)
    found: dict[str, list[str]] = {}
    parameters, messages = [], []
    for each in instructions:
        value = each.value or ""
        if each.command == "parameter":
            parameters.append((each.name, value))
        elif each.command == "message":
            messages.append((each.name, value))
        else:
            found.setdefault(each.command, []).append(value)
    if "from" not in found:
        raise ModelfileError(
            "the Modelfile has no FROM line, so it names no model.",
            hint="Begin it with a model or a file: FROM llama3.1:8b",
        )
    last = {command: values[-1] for command, values in found.items()}
    return Modelfile(
        from_=found["from"][0],
        parameters=tuple(parameters),
        system=last.get("system"),
        template=last.get("template"),
        adapters=tuple(found.get("adapter", ())),
        licences=tuple(found.get("license", ())),
        messages=tuple(messages),
        requires=last.get("requires"),
        renderer=last.get("renderer"),
        parser=last.get("parser"),
        draft=last.get("draft"),
        comments=_head_comments(text),
        more_from=tuple(found["from"][1:]),
    )


def parse_lines(text: str) -> tuple[Instruction, ...]:
    """Return the instructions of a Modelfile with their lines, known or not.

    Raises:
        ModelfileError: a quotation does not end.
    """
    return tuple(_instructions(as_read(text)))


def instruction_problem(instruction: Instruction) -> str | None:
    """Return why Ollama's parser refuses an instruction, as a sentence, or None."""
    shown = instruction.command.upper()
    if instruction.command not in COMMANDS:
        return f"{instruction.command!r} is not an instruction of a Modelfile."
    if instruction.command == "message" and instruction.name not in MESSAGE_ROLES:
        given = f"not {instruction.name!r}" if instruction.name else "right after one blank"
        return f"MESSAGE takes a role, system, user or assistant, {given}."
    if instruction.command == "parameter" and not _PARAMETER_NAME.fullmatch(instruction.name):
        if instruction.name:
            return f"{instruction.name!r} is not the name of a parameter."
        return "PARAMETER takes a name right after one blank."
    if instruction.value is None:
        return f"{shown} {instruction.name}".strip() + " has no value."
    return None


def render_modelfile(modelfile: Modelfile) -> str:
    """Return the text of a Modelfile; `parse_modelfile` reads it as the same record.

    Characters that Ollama drops when it reads (see `as_read`) are left out.

    Raises:
        ModelfileError: a text cannot be written, a name or role is none, or FROM is empty.
    """
    m = modelfile
    if not m.from_:
        raise ModelfileError("FROM names no model.")
    lines = [_comment(comment) for comment in m.comments]
    if lines:
        lines.append("")
    lines += [f"FROM {quoted(each)}" for each in (m.from_, *m.more_from)]
    lines += [f"ADAPTER {quoted(each)}" for each in m.adapters]
    lines += [_checked("parameter", name, value) for name, value in m.parameters]
    lines += _lines(("TEMPLATE", m.template), ("RENDERER", m.renderer), ("PARSER", m.parser))
    lines += _lines(("SYSTEM", m.system))
    lines += [_checked("message", role, value) for role, value in m.messages]
    lines += _lines(("DRAFT", m.draft), ("REQUIRES", m.requires))
    lines += [f"LICENSE {quoted(each)}" for each in m.licences]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Return a value in as few quotes as it needs.

    Raises:
        ModelfileError: no quotes can hold it: a line before its last ends in three of them.
    """
    text = as_read(text)
    candidates = [f'"{text}"', f'"""{text}"""']
    if _LINE_END.search(text):
        candidates.reverse()
    elif text:
        candidates.insert(0, text)
    for candidate in candidates:
        if _value(candidate, 0) == (text, len(candidate)):
            return candidate
    raise ModelfileError(
        'a text has a line that ends in """, which a Modelfile cannot hold.',
        hint='Put a full stop after the """, or write other quotation marks.',
    )


def as_read(text: str) -> str:
    """Return a text without the characters that Ollama drops when it reads a Modelfile.

    Blanks, tabs and line ends stay; all else stays if it prints (Go's `strconv.IsPrint`).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if char.isprintable() or char in "\t\r\n")


def names_a_file(text: str) -> bool:
    """Return whether FROM, ADAPTER or DRAFT names a file or folder rather than a model."""
    if text.startswith((".", "/", "~", "\\")) or text[1:3] in {":\\", ":/"}:
        return True
    return text.lower().endswith(_FILE_ENDINGS)


def names_a_blob(text: str) -> bool:
    """Return whether FROM names a blob in the server's store, by its digest."""
    return _BLOB.search(text) is not None


def create_request(modelfile: Modelfile, *, name: str) -> dict[str, Any]:
    """Return the body of `POST /api/create` that makes a Modelfile's model under `name`.

    Parameters are typed, deprecated ones left out as `ollama create` does. FROM is a model, or
    a blob of the server (`.../blobs/sha256-...`, as `ollama show --modelfile` writes it).

    Raises:
        ModelfileError: a parameter is unknown or of the wrong type, or a file on this computer
            is named, which would have to be uploaded first.
    """
    m = modelfile
    sources = (m.from_, *m.more_from)
    blobs = [_BLOB.search(source) for source in sources]
    body: dict[str, Any] = {"model": name}
    if all(blobs):
        digests = [f"sha256:{blob[1]}" for blob in blobs if blob]
        body["files"] = {f"model-{i}.gguf": digest for i, digest in enumerate(digests, 1)}
    elif len(sources) > 1 or names_a_file(m.from_):
        raise ModelfileError(f"FROM names a file, {sources[-1]!r}.", hint=_MUST_BE_FILES)
    else:
        body["from"] = m.from_
    if m.adapters or m.draft is not None:
        named = m.adapters[0] if m.adapters else m.draft
        raise ModelfileError(f"ADAPTER or DRAFT names a file, {named!r}.", hint=_MUST_BE_FILES)
    parameters = _typed_parameters(m.parameters)
    optional = {
        "parameters": parameters,
        "template": m.template,
        "system": m.system,
        "renderer": m.renderer,
        "parser": m.parser,
        "requires": m.requires and m.requires.removeprefix("v"),
        "messages": [{"role": role, "content": content} for role, content in m.messages],
        "license": list(m.licences),
    }
    return body | {key: value for key, value in optional.items() if value}


def _typed_parameters(parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for name, text in parameters:
        if name in DEPRECATED_PARAMETERS:
            continue
        parameter = KNOWN_PARAMETERS.get(name)
        if parameter is None:
            raise ModelfileError(f"there is no parameter {name!r}.")
        try:
            value = typed_value(parameter, text)
        except ValueError as error:
            raise ModelfileError(
                f"{name} takes {KIND_WORDS[parameter.kind]}, not {text!r}."
            ) from error
        if parameter.repeats:
            typed.setdefault(name, []).append(value)
        else:
            typed[name] = value
    return typed


def _instructions(text: str) -> Iterator[Instruction]:
    at, counted, line = 0, 0, 1
    while at < len(text):
        if text[at] in " \t\r\n":
            at += 1
        elif text[at] == "#":
            at = _end_of_line(text, at)
        else:
            line += len(_LINE_END.findall(text, counted, at))
            counted = at
            instruction, at = _instruction(text, at, line)
            yield instruction


def _instruction(text: str, at: int, line: int) -> tuple[Instruction, int]:
    command, at = _word(text, at)
    command, name = command.lower(), ""
    if command in {"parameter", "message"} and at < len(text) and text[at] in _BLANKS:
        name, at = _word(text, at + 1)
    if at >= len(text) or text[at] not in _BLANKS:
        return Instruction(line, command, None, name), at
    read = _value(text, at)
    if read is None:
        raise ModelfileError(
            f"the quotation after {command.upper()} does not end.",
            line=line,
            hint="Close it with the same marks, at the end of a line.",
        )
    return Instruction(line, command, read[0], name), read[1]


def _word(text: str, at: int) -> tuple[str, int]:
    end = at
    while end < len(text) and text[end] not in " \t\r\n":
        end += 1
    return text[at:end], end


def _value(text: str, at: int) -> tuple[str, int] | None:
    """Return the value that begins at `at` and where it ends; None if its quotes do not close."""
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    for mark, closing in _CLOSING.items():
        if text.startswith(mark, at):
            found = closing.search(text, at + len(mark))
            return None if found is None else (text[at + len(mark) : found.start()], found.end())
    end = _end_of_line(text, at)
    return text[at:end].rstrip(_BLANKS), end


def _end_of_line(text: str, at: int) -> int:
    found = _LINE_END.search(text, at)
    return len(text) if found is None else found.start()


def _head_comments(text: str) -> tuple[str, ...]:
    comments = []
    for line in _LINE_END.split(as_read(text)):
        bare = line.lstrip(_BLANKS)
        if bare and not bare.startswith("#"):
            break
        if bare:
            comments.append(bare[1:].removeprefix(" "))
    return tuple(comments)


def _lines(*singles: tuple[str, str | None]) -> list[str]:
    return [f"{command} {quoted(value)}" for command, value in singles if value is not None]


def _comment(text: str) -> str:
    text = as_read(text)
    if _LINE_END.search(text):
        raise ModelfileError(f"a comment is one line, not {text!r}.")
    return f"# {text}" if text else "#"


def _checked(command: str, name: str, value: str) -> str:
    problem = instruction_problem(Instruction(0, command, value, name))
    if problem is not None:
        raise ModelfileError(problem)
    return f"{command.upper()} {name} {quoted(value)}"
