"""Modelfiles: reading and writing are inverse, whatever the texts in them are."""

from __future__ import annotations

import string

from hypothesis import assume, given
from hypothesis import strategies as st

from assistant.ollama.modelfile import (
    MESSAGE_ROLES,
    Modelfile,
    ModelfileError,
    as_read,
    create_request,
    parse_lines,
    parse_modelfile,
    quoted,
    render_modelfile,
)
from assistant.ollama.modelfile_parameters import KNOWN_PARAMETERS

# Texts that are likely to confuse: quotes, line ends, blanks, comment marks, commands.
_PIECES = st.sampled_from(
    [
        '"',
        '""',
        '"""',
        "\n",
        "\r",
        "\r\n",
        " ",
        "\t",
        "#",
        "FROM x",
        "a",
        "{{ .System }}",
        "é",
        "字",
    ]
)
_TEXTS = st.one_of(st.text(), st.lists(_PIECES, max_size=12).map("".join)).map(as_read)
_LINES = _TEXTS.map(lambda text: text.replace("\n", "").replace("\r", ""))
_NAMES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=12)


def _writable(text: str) -> bool:
    try:
        quoted(text)
    except ModelfileError:
        return False
    return True


_VALUES = _TEXTS.filter(_writable)
_OPTIONAL = st.none() | _VALUES
_MODELFILES = st.builds(
    Modelfile,
    from_=_VALUES.filter(bool),
    parameters=st.lists(st.tuples(_NAMES, _VALUES), max_size=4).map(tuple),
    system=_OPTIONAL,
    template=_OPTIONAL,
    adapters=st.lists(_VALUES, max_size=2).map(tuple),
    licences=st.lists(_VALUES, max_size=2).map(tuple),
    messages=st.lists(st.tuples(st.sampled_from(MESSAGE_ROLES), _VALUES), max_size=3).map(tuple),
    requires=_OPTIONAL,
    renderer=_OPTIONAL,
    parser=_OPTIONAL,
    draft=_OPTIONAL,
    comments=st.lists(_LINES, max_size=3).map(tuple),
    more_from=st.lists(_VALUES, max_size=2).map(tuple),
)


@given(_MODELFILES)
def test_what_is_written_is_read_back_the_same(modelfile: Modelfile) -> None:
    assert parse_modelfile(render_modelfile(modelfile)) == modelfile


@given(st.lists(_PIECES, max_size=40).map("".join) | st.text())
def test_what_was_read_can_be_written_and_read_again(text: str) -> None:
    try:
        modelfile = parse_modelfile("FROM m\n" + text)
    except ModelfileError:
        assume(False)
        return
    assert parse_modelfile(render_modelfile(modelfile)) == modelfile


@given(_TEXTS)
def test_only_a_line_that_ends_in_three_quotes_cannot_be_written(text: str) -> None:
    lines = text.replace("\r", "\n").split("\n")
    closes_early = any(line.rstrip(" \t").endswith('"""') for line in lines[:-1])
    if not closes_early:
        assert _writable(text)


@given(st.text())
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        instructions = parse_lines(text)
        parse_modelfile(text)
    except ModelfileError as error:
        refused = error
    else:
        assert any(each.command == "from" for each in instructions)
        return
    assert refused.message.endswith(".")
    assert refused.hint


@given(st.text(), st.text())
def test_lines_are_counted_and_rise(before: str, after: str) -> None:
    try:
        lines = [each.line for each in parse_lines(f"{before}\nFROM m\n{after}")]
    except ModelfileError:
        return
    assert lines == sorted(lines)
    assert lines[0] >= 1


@given(st.floats(0, 2, allow_nan=False), st.integers(1, 2**31 - 1), st.lists(_VALUES, max_size=3))
def test_parameters_reach_the_server_in_their_own_type(
    temperature: float, num_ctx: int, stops: list[str]
) -> None:
    parameters = [("temperature", f"{temperature:.6f}"), ("num_ctx", str(num_ctx))]
    parameters += [("stop", stop) for stop in stops]
    body = create_request(Modelfile("m", parameters=tuple(parameters)), name="n")["parameters"]
    assert type(body["temperature"]) is float
    assert abs(body["temperature"] - temperature) < 1e-5
    assert (type(body["num_ctx"]), body["num_ctx"]) == (int, num_ctx)
    assert body.get("stop", []) == stops
    assert set(body) <= set(KNOWN_PARAMETERS)
