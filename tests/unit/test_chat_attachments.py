"""Files for a message: what they are by their bytes, what is refused, how they are split."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assistant.chat.attachment_text import decode_text, looks_binary, split_text
from assistant.chat.attachments import MOST_IMAGE_BYTES, read_attachment, split_attachment
from assistant.chat.budget import guess_tokens
from assistant.chat.chat_problems import AttachmentError, FileTooLargeError
from assistant.chat.records import Attachment
from assistant.errors import FileProblemError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data, text",
    [
        (b"plain\n", "plain\n"),
        ("Gr\u00f6\u00dfe 汉字 🙂\n".encode(), "Größe 汉字 🙂\n"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("two bytes".encode("utf-16"), "two bytes"),
        ("no mark here".encode("utf-16-le"), "no mark here"),
        ("no mark here".encode("utf-16-be"), "no mark here"),
        ("four bytes".encode("utf-32"), "four bytes"),
        ("Gr\u00f6\u00dfe \u20ac".encode("cp1252"), "Größe €"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        (b"colour \x1b[31mred\x1b[0m\n", "colour \x1b[31mred\x1b[0m\n"),
        (b"a\n\x0cnext page", "a\n\x0cnext page"),
    ],
)
def test_text_is_read_whatever_its_encoding(tmp_path: Path, data: bytes, text: str) -> None:
    assert not looks_binary(data)
    found = read_attachment(written(tmp_path, "x.dat", data), vision=False, budget_tokens=100)
    assert (found.name, found.kind, found.text, found.data) == ("x.dat", "text", text, None)
    assert found.tokens is not None
    assert found.tokens >= guess_tokens(text)


@pytest.mark.parametrize(
    "name, data",
    [
        ("model.gguf", b"GGUF\x03\0\0\0" + bytes(100)),
        ("a.zip", b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(50)),
        ("program", b"\x7fELF\x02\x01\x01\0" + bytes(200)),
        ("noise.txt", bytes(range(256)) * 4),
        ("controls.txt", b"\x01\x02\x03 text"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(AttachmentError) as caught:
        read_attachment(written(tmp_path, name, data), vision=True, budget_tokens=100)
    assert "is not text" in caught.value.message
    assert repr(name) in caught.value.message


def test_text_that_turns_binary_after_its_beginning(tmp_path: Path) -> None:
    data = b"looks like text\n" * 1000 + b"\0\0\0"
    with pytest.raises(AttachmentError):
        read_attachment(written(tmp_path, "x", data), vision=False, budget_tokens=None)
    assert decode_text(data) is None


@pytest.mark.parametrize(
    "data",
    [PNG, b"\xff\xd8\xff\xe0 jpeg", b"GIF89a gif", b"RIFF\x10\0\0\0WEBPVP8 "],
)
def test_pictures_are_known_by_their_bytes(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path, "picture.txt", data)
    found = read_attachment(path, vision=True, budget_tokens=2000)
    assert (found.kind, found.data, found.text) == ("image", data, None)
    with pytest.raises(AttachmentError) as caught:
        read_attachment(path, vision=False, budget_tokens=2000)
    assert "cannot see pictures" in caught.value.message
    assert "vision" in str(caught.value.hint)


def test_a_picture_may_be_too_large(tmp_path: Path) -> None:
    path = written(tmp_path, "big.png", PNG)
    with path.open("ab") as file:
        file.truncate(MOST_IMAGE_BYTES + 1)
    with pytest.raises(AttachmentError) as caught:
        read_attachment(path, vision=True, budget_tokens=2000)
    assert "20 MB" in caught.value.message
    with pytest.raises(FileTooLargeError) as small:
        read_attachment(written(tmp_path, "x.png", PNG), vision=True, budget_tokens=100)
    assert small.value.attachment is None


def test_a_text_that_does_not_fit_carries_its_size_and_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "long.py", b"x = 1\n" * 2000)
    with pytest.raises(FileTooLargeError) as caught:
        read_attachment(path, vision=False, budget_tokens=500)
    error = caught.value
    assert error.attachment is not None
    assert error.attachment.text == "x = 1\n" * 2000
    assert error.tokens > 500 == error.room
    assert f"about {error.tokens:,} tokens" in error.message
    parts = split_attachment(error.attachment, budget_tokens=500)
    assert "".join(p.text or "" for p in parts) == error.attachment.text
    assert all((p.tokens or 0) <= 500 for p in parts)
    assert len(parts) >= error.tokens // 500


def test_a_file_beyond_reading_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = written(tmp_path, "huge.log", b"a line of text\n" * 1000)
    with path.open("ab") as file:
        file.truncate(3 * 1024**3)
    with pytest.raises(FileTooLargeError) as caught:
        read_attachment(path, vision=False, budget_tokens=4000)
    assert caught.value.attachment is None
    assert caught.value.tokens > 10**8


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases = {
        tmp_path / "nowhere.txt": "there is no file",
        tmp_path: "is a folder",
        pipe: "is a device or a pipe",
        Path("/dev/zero"): "is a device or a pipe",
        written(tmp_path, "empty.txt", b""): "is empty",
        written(tmp_path, "blank.txt", b" \n\n"): "nothing but blanks",
        tmp_path / ("x" * 300): "cannot be read",
        tmp_path / "a\0b": "cannot be read",
    }
    for path, words in cases.items():
        with pytest.raises(AttachmentError) as caught:
            read_attachment(path, vision=False, budget_tokens=100)
        assert words in caught.value.message, path
        assert caught.value.hint


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, "note.txt", b"hello")
    found = read_attachment(Path("~/note.txt"), vision=False, budget_tokens=None)
    assert found.text == "hello"


def test_pdf_text_comes_by_page(tmp_path: Path) -> None:
    found = read_attachment(
        written(tmp_path, "paper.bin", pdf("First page", "Second page")),
        vision=False,
        budget_tokens=200,
    )
    assert found.text is not None
    assert found.text.split("\n\n") == ["[page 1]\nFirst page", "[page 2]\nSecond page"]
    with pytest.raises(FileProblemError):
        read_attachment(
            written(tmp_path, "bad.pdf", b"%PDF-1.4\nnonsense"), vision=False, budget_tokens=200
        )


def test_cuts_are_at_paragraphs_then_lines_then_words() -> None:
    text = "one two three\n\nfour five six\n\nseven eight nine ten eleven twelve"
    parts = split_text(text, 8, guess_tokens)
    assert parts == [
        "one two three\n\n",
        "four five six\n\n",
        "seven eight nine ",
        "ten eleven twelve",
    ]
    lines = split_text("one two three\nfour five six\nseven", 8, guess_tokens)
    assert lines == ["one two three\n", "four five six\nseven"]


def test_what_cannot_be_split() -> None:
    with pytest.raises(AttachmentError):
        split_attachment(Attachment("x.png", "image", data=PNG), budget_tokens=100)
    with pytest.raises(AttachmentError):
        split_attachment(Attachment("x.txt", "text", text="much"), budget_tokens=5)
    (whole,) = split_attachment(Attachment("x.txt", "text", text="much"), budget_tokens=100)
    assert whole.name == "x.txt"


def pdf(*pages: str) -> bytes:
    """Return a PDF with one line of text on each page."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {5 + 2 * n} 0 R"
            "/Resources<</Font<</F1 3 0 R>>>>>>",
            f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        ]
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj{body}endobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    out += f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("latin-1")
