"""A person's documents: cut so that nothing is lost, and refused in a sentence when unusable."""

from __future__ import annotations

import itertools
from pathlib import Path

import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import AssistantError
from assistant.knowledge.chunks import MOST_WORDS, OVERLAP_WORDS, chunk_markdown, chunk_text
from assistant.knowledge.documents import clean, find_files, read_document

TEXT = st.text(alphabet=st.sampled_from("ab. \n#`-"), max_size=3000)


def pdf(path: Path, *pages: str, password: str | None = None) -> Path:
    """Write a PDF with a line of text on each page."""
    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        if text:
            font = pypdf.generic.DictionaryObject({
                pypdf.generic.NameObject("/Type"): pypdf.generic.NameObject("/Font"),
                pypdf.generic.NameObject("/Subtype"): pypdf.generic.NameObject("/Type1"),
                pypdf.generic.NameObject("/BaseFont"): pypdf.generic.NameObject("/Helvetica"),
            })  # fmt: skip
            fonts = pypdf.generic.DictionaryObject({pypdf.generic.NameObject("/F1"): font})
            page[pypdf.generic.NameObject("/Resources")] = pypdf.generic.DictionaryObject(
                {pypdf.generic.NameObject("/Font"): fonts}
            )
            stream = pypdf.generic.DecodedStreamObject()
            stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
            page[pypdf.generic.NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    with path.open("wb") as file:
        writer.write(file)
    return path


@given(TEXT)
def test_the_pieces_without_overlaps_are_the_text(text: str) -> None:
    joined = "".join(chunk.own_text for chunk in chunk_text(text, "s"))
    assert joined.rstrip() == text.rstrip() or not text.strip()


@given(st.lists(st.text(alphabet="abc.", min_size=1, max_size=8), max_size=1500))
def test_no_piece_is_too_long_and_each_repeats_the_end_of_the_last(listed: list[str]) -> None:
    chunks = chunk_text(" ".join(listed), "s")
    for before, chunk in itertools.pairwise(chunks):
        repeated = chunk.text[: chunk.overlap]
        assert repeated
        assert before.own_text.endswith(repeated)
    for chunk in chunks:
        assert len(chunk.text.split()) <= MOST_WORDS + OVERLAP_WORDS + 1


def test_short_text_is_one_piece() -> None:
    assert [c.text for c in chunk_text("One paragraph.\n\nAnother.", "s")] == [
        "One paragraph.\n\nAnother."
    ]


def test_paragraphs_are_kept_whole() -> None:
    paragraphs = [f"Paragraph {n} " + "word " * 80 for n in range(6)]
    chunks = chunk_text("\n\n".join(paragraphs), "s")
    assert all(chunk.own_text.startswith("Paragraph") for chunk in chunks)


def test_markdown_is_cut_at_headings_that_know_what_is_above() -> None:
    text = "intro\n\n# A\n\na text\n\n## B ##\n\nb text\n\n```\n# not a heading\n```\n\n# C\nc\n"
    chunks = chunk_markdown(text, title="T")
    assert [c.section for c in chunks] == ["T", "A", "A > B", "C"]
    assert "# not a heading" in chunks[2].text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("größe".encode(), "größe"),
        (b"\xef\xbb\xbfmark", "mark"),
        ("größe".encode("cp1252"), "größe"),
        ("größe".encode("utf-16"), "größe"),
        (b"a\r\nb\rc", "a\nb\nc"),
        (b"red \x1b[31mtext\x07 \xe2\x80\xaeright", "red [31mtext right"),
    ],
)
def test_encodings_are_read_and_control_characters_dropped(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    assert read_document(file).chunks[0].text == expected


def test_front_matter_is_left_out_and_the_first_heading_is_the_title(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("---\nsecret: key\n---\n# My *title*\n\ntext\n")
    document = read_document(file)
    assert document.title == "My *title*"
    assert [c.text.strip() for c in document.chunks] == ["text"]


def test_a_pdf_is_read_by_page(tmp_path: Path) -> None:
    document = read_document(pdf(tmp_path / "a.pdf", "the walrus", "", "the penguin"))
    assert [(c.section, c.text.strip()) for c in document.chunks] == [
        ("page 1", "the walrus"),
        ("page 3", "the penguin"),
    ]


def broken(folder: Path, kind: str) -> Path:
    file = folder / ("a.pdf" if "pdf" in kind else "a.txt")
    if kind == "pdf without text":
        return pdf(file, "")
    if kind == "encrypted pdf":
        return pdf(file, "text", password="x")
    if kind == "cut pdf":
        pdf(file, "text")
        file.write_bytes(file.read_bytes()[:200])
    if kind == "no pdf":
        file.write_bytes(b"hello")
    if kind == "binary":
        file.write_bytes(bytes(range(256)) * 10)
    if kind == "empty":
        file.write_bytes(b" \n\n")
    if kind == "large":
        with file.open("wb") as out:
            out.truncate(11_000_000)
    return file


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pdf without text", "only pictures"),
        ("encrypted pdf", "encrypted"),
        ("cut pdf", "not a PDF that can be read"),
        ("no pdf", "not a PDF that can be read"),
        ("binary", "not a text file"),
        ("empty", "holds no text"),
        ("large", "larger than 10 MB"),
        ("missing", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(kind: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(AssistantError, match=said) as caught:
        read_document(broken(tmp_path, kind))
    assert "\n" not in caught.value.message


def test_a_folder_gives_its_files_and_nothing_hidden_or_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("x")
    folder = tmp_path / "notes"
    for name in ("b.md", "sub/a.TXT", ".hidden.md", ".git/x.md", "c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "link.md").symlink_to(outside)
    assert [f.relative_to(folder).as_posix() for f in find_files(folder)] == ["b.md", "sub/a.TXT"]


@pytest.mark.parametrize("name", ["nothing-here", "empty-folder", "picture.png"])
def test_nothing_to_add_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(AssistantError):
        find_files(tmp_path / name)


@given(st.text())
def test_clean_text_has_no_control_characters(text: str) -> None:
    assert all(c in "\n\t" or ord(c) >= 32 for c in clean(text))
    assert "\x1b" not in clean(text)
