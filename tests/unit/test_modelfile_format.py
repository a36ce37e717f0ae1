"""Modelfiles: read as Ollama reads them, written with as few quotes as needed, sent typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.ollama.modelfile import (
    Instruction,
    Modelfile,
    ModelfileError,
    create_request,
    names_a_file,
    parse_lines,
    parse_modelfile,
    quoted,
    render_modelfile,
)
from assistant.ollama.modelfile_parameters import (
    DEPRECATED_PARAMETERS,
    KNOWN_PARAMETERS,
    REMOVED_PARAMETERS,
    typed_value,
)

SHOWN = Path(__file__).parent.parent / "data" / "ollama" / "modelfile_show.json"
DIGEST = "941f309b54caaad6747569ba43712bcde44a2be3bae16c3282ff499c37c54af5"

# What Ollama's own parser makes of a value (its parser_test.go covers the same ground).
VALUES = {
    "bare": ("SYSTEM You are calm.", "You are calm."),
    "blanks around": ("SYSTEM    You are calm.  \t", "You are calm."),
    "a tab after the command": ("SYSTEM\tYou are calm.", "You are calm."),
    "blanks in quotes": ('SYSTEM "  calm  "', "  calm  "),
    "quotes inside a line": ('SYSTEM say "yes" or "no" now', 'say "yes" or "no" now'),
    "several lines": ('SYSTEM """one\ntwo"""', "one\ntwo"),
    "several lines in single quotes": ('SYSTEM "one\ntwo"', "one\ntwo"),
    "line ends at both ends": ('SYSTEM """\none\n"""  ', "\none\n"),
    "quotes in several lines": ('SYSTEM """say "yes"\nor"""', 'say "yes"\nor'),
    "quotes before the closing ones": ('SYSTEM """say "yes""""', 'say "yes"'),
    "triple quotes inside a line": ('SYSTEM """a """ b"""', 'a """ b'),
    "nothing": ('SYSTEM ""', ""),
    "nothing in triple quotes": ('SYSTEM """"""', ""),
    "five quotes in a row": ('SYSTEM """""\nx"""', '""\nx'),
    "a mark of a comment": ("SYSTEM # is a sign", "# is a sign"),
    "Windows line ends in quotes": ('SYSTEM """one\r\ntwo"""\r\n', "one\r\ntwo"),
    "characters that do not print": ("SYSTEM a\u200bb\x07c\u00a0d", "abcd"),
    "lower case": ("system calm", "calm"),
    "mixed case": ("SyStEm calm", "calm"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_read_as_ollama_reads_it(case: str) -> None:
    line, value = VALUES[case]
    assert parse_modelfile(f"FROM m\n{line}\n").system == value
    assert parse_modelfile(f"{line}\nFROM m").system == value


def test_a_whole_modelfile() -> None:
    text = """\
# for the family
#
FROM ./model.gguf
from ./projector.gguf
ADAPTER ./lora.gguf
PARAMETER num_ctx 8192
PARAMETER stop <|im_end|>
# in between
PARAMETER stop "User: "
TEMPLATE {{ .Prompt }}
SYSTEM first
SYSTEM second
MESSAGE user Where is it?
MESSAGE assistant "here: there"
RENDERER qwen3.5
PARSER qwen3.5
DRAFT ./draft.gguf
REQUIRES 0.33.0
LICENSE MIT
LICENSE Apache
"""
    assert parse_modelfile(text) == Modelfile(
        from_="./model.gguf",
        parameters=(("num_ctx", "8192"), ("stop", "<|im_end|>"), ("stop", "User: ")),
        system="second",
        template="{{ .Prompt }}",
        adapters=("./lora.gguf",),
        licences=("MIT", "Apache"),
        messages=(("user", "Where is it?"), ("assistant", "here: there")),
        requires="0.33.0",
        renderer="qwen3.5",
        parser="qwen3.5",
        draft="./draft.gguf",
        comments=("for the family", ""),
        more_from=("./projector.gguf",),
    )


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", None, "no FROM line"),
        ("# only a comment", None, "no FROM line"),
        ("PARAMETER num_ctx 1", None, "no FROM line"),
        ("FROM m\nBADCOMMAND x", 2, "'badcommand' is not an instruction"),
        ("FROM m\r\n\r\nSYSTM x", 3, "'systm' is not an instruction"),
        ("FROM m\nSYSTEM", 2, "SYSTEM has no value"),
        ("FROM m\nPARAMETER stop\nSYSTEM x", 2, "PARAMETER stop has no value"),
        ("FROM m\nPARAMETER  num_ctx 1", 2, "right after one blank"),
        ("FROM m\nPARAMETER top-p 1", 2, "'top-p' is not the name of a parameter"),
        ("FROM m\nMESSAGE badguy hi", 2, "system, user or assistant, not 'badguy'"),
        ("FROM m\nMESSAGE user", 2, "MESSAGE user has no value"),
        ('FROM m\nSYSTEM """x', 2, "quotation after SYSTEM does not end"),
        ('FROM m\n\nSYSTEM """x""', 3, "quotation after SYSTEM does not end"),
        ('FROM m\nSYSTEM "', 2, "quotation after SYSTEM does not end"),
    ],
)
def test_what_ollama_refuses_is_refused_with_its_line(
    text: str, line: int | None, said: str
) -> None:
    with pytest.raises(ModelfileError) as caught:
        parse_modelfile(text)
    assert said in caught.value.message
    assert caught.value.line == line
    assert caught.value.hint
    assert (caught.value.code, caught.value.exit_code) == ("bad_modelfile", 1)


def test_lines_are_kept_even_where_they_are_wrong() -> None:
    assert parse_lines('FROM m\n\n# c\nSYSTEM """a\nb"""\nnonsense here\nPARAMETER top_k 4') == (
        Instruction(1, "from", "m"),
        Instruction(4, "system", "a\nb"),
        Instruction(6, "nonsense", "here"),
        Instruction(7, "parameter", "4", "top_k"),
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("calm", "calm"),
        ('say "yes"', 'say "yes"'),
        ("", '""'),
        (" calm", '" calm"'),
        ('"quoted"', '""quoted""'),
        ('"', '"""""""'),
        ('""', '""""""""'),
        ("one\ntwo", '"""one\ntwo"""'),
        ('ends in """', 'ends in """'),
        ("tab\tinside", "tab\tinside"),
        ("soft\u00adhyphen", "softhyphen"),
    ],
)
def test_a_value_is_written_in_as_few_quotes_as_it_needs(text: str, written: str) -> None:
    assert quoted(text) == written


@pytest.mark.parametrize("text", ['a """\nb', 'a """ \n\nb', '"""\n'])
def test_what_no_quotes_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ModelfileError, match='ends in """'):
        quoted(text)


@pytest.mark.parametrize(
    "broken",
    [
        Modelfile(""),
        Modelfile("m", comments=("two\nlines",)),
        Modelfile("m", parameters=(("not a name", "1"),)),
        Modelfile("m", messages=(("robot", "beep"),)),
    ],
)
def test_a_record_that_is_no_modelfile_is_not_written(broken: Modelfile) -> None:
    with pytest.raises(ModelfileError):
        render_modelfile(broken)


def test_the_text_of_ollama_show_is_read_and_sent_back() -> None:
    shown = json.loads(SHOWN.read_text("utf-8"))
    modelfile = parse_modelfile(shown["modelfile"])
    assert modelfile.system == "You are Mario."
    assert modelfile.values("stop") == ("<|im_end|>",)
    assert modelfile.template == shown["template"]
    body = create_request(modelfile, name="mario:2")
    assert body["files"] == {"model-1.gguf": f"sha256:{DIGEST}"}
    assert body["parameters"] == {"num_ctx": 2048, "stop": ["<|im_end|>"], "temperature": 0.2}
    assert body["license"] == ["MIT"]


def test_the_body_of_create_has_the_fields_that_a_server_was_sent() -> None:
    modelfile = parse_modelfile(
        "FROM smollm2:135m\nPARAMETER temperature 0.2\nPARAMETER num_ctx 2048\n"
        "PARAMETER stop <|im_end|>\nPARAMETER stop END\nPARAMETER use_mmap true\n"
        "PARAMETER mirostat 2\nSYSTEM You are Mario.\nMESSAGE user hi\nREQUIRES v0.20.0\n"
        "LICENSE MIT\nPARSER p\nRENDERER r\nTEMPLATE t\n"
    )
    assert create_request(modelfile, name="mario:1") == {
        "model": "mario:1",
        "from": "smollm2:135m",
        "parameters": {
            "temperature": 0.2, "num_ctx": 2048, "stop": ["<|im_end|>", "END"], "use_mmap": True,
        },
        "system": "You are Mario.",
        "template": "t",
        "messages": [{"role": "user", "content": "hi"}],
        "license": ["MIT"],
        "renderer": "r",
        "parser": "p",
        "requires": "0.20.0",
    }  # fmt: skip


def test_what_is_not_set_is_not_sent() -> None:
    assert create_request(Modelfile("m", system=""), name="n") == {"model": "n", "from": "m"}


@pytest.mark.parametrize(
    ("modelfile", "said"),
    [
        (Modelfile("m", parameters=(("nonsense", "1"),)), "no parameter 'nonsense'"),
        (Modelfile("m", parameters=(("temperature", "hot"),)), "takes a number, not 'hot'"),
        (Modelfile("m", parameters=(("num_ctx", "8k"),)), "takes a whole number, not '8k'"),
        (Modelfile("m", parameters=(("use_mmap", "yes"),)), "takes true or false"),
        (Modelfile("./m.gguf"), "FROM names a file, './m.gguf'"),
        (Modelfile("m", adapters=("lora",)), "names a file, 'lora'"),
        (Modelfile("m", more_from=("./p.gguf",)), "FROM names a file, './p.gguf'"),
    ],
)
def test_what_the_server_would_only_fail_on_later_is_not_sent(
    modelfile: Modelfile, said: str
) -> None:
    with pytest.raises(ModelfileError) as caught:
        create_request(modelfile, name="n")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_ctx", "8192", 8192),
        ("seed", "-1", -1),
        ("num_gpu", "+5", 5),
        ("temperature", "0", 0.0),
        ("temperature", "1e-1", 0.1),
        ("temperature", ".5", 0.5),
        ("use_mmap", "T", True),
        ("use_mmap", "0", False),
        ("stop", "", ""),
        ("num_ctx", "8_192", None),
        ("num_ctx", "8192.0", None),
        ("num_ctx", " 8192", None),
        ("num_ctx", "٨", None),
        ("temperature", "nan", None),
        ("temperature", "inf", None),
        ("temperature", "1e99", None),
        ("temperature", "", None),
        ("use_mmap", "on", None),
    ],
)
def test_values_are_typed_as_go_types_them(name: str, text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(ValueError, match="is not"):
            typed_value(KNOWN_PARAMETERS[name], text)
    else:
        typed = typed_value(KNOWN_PARAMETERS[name], text)
        assert (typed, type(typed)) == (value, type(value))


def test_no_word_is_both_honoured_and_gone() -> None:
    gone = DEPRECATED_PARAMETERS | REMOVED_PARAMETERS.keys()
    assert not gone & KNOWN_PARAMETERS.keys()
    assert len(KNOWN_PARAMETERS) == 20


@pytest.mark.parametrize(
    ("text", "is_file"),
    [
        ("llama3.1:8b", False),
        ("hf.co/user/repo:Q4_K_M", False),
        ("./model.gguf", True),
        ("/models/m", True),
        ("~/m", True),
        ("..\\m", True),
        ("C:\\models\\m", True),
        ("model.GGUF", True),
    ],
)
def test_files_are_told_from_names(text: str, is_file: bool) -> None:
    assert names_a_file(text) is is_file
