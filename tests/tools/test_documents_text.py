"""Reading HTML, Markdown and plain text, and telling them from what is none of them."""

from pathlib import Path

import pytest

from tests.tools import making
from tools.documents import Document, DocumentError, Limits, Reading, Watch, read_document
from tools.documents.reading import check_together, unique_names


def read(path: Path, content: str | bytes, mime: str = "", limits: Limits | None = None) -> Document:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_document(Reading(path=path, name=path.name, mime=mime), Watch(limits=limits or Limits()))


def labels(document: Document) -> list[tuple[str, str]]:
    return [(passage.place.label, passage.text) for passage in document.passages]


def test_html_is_read_as_a_reader_sees_it(tmp_path: Path) -> None:
    content = """<!doctype html><title>no</title><style>p {}</style><nav>Home</nav><p>Intro &amp; more.</p>
    <h2>Find<b>ings</b></h2><div><p>A <em>broken</em> cable.</p>tail text</div><ul><li>one<li>two</ul>
    <table><tr><td>1</td><td>2</td></tr></table><p hidden>secret</p><script>alert(1)</script>"""
    document = read(tmp_path / "a.html", content)
    assert labels(document) == [
        ("§ Beginning", "Intro & more."),
        ("§ Findings", "A broken cable."),
        ("§ Findings", "tail text"),
        ("§ Findings", "one"),
        ("§ Findings", "two"),
        ("§ Findings", "1 2"),
    ]
    assert document.kind == "HTML"


def test_html_without_headings_is_cited_by_paragraph(tmp_path: Path) -> None:
    assert labels(read(tmp_path / "a.htm", "<p>One.<p>Two.")) == [("¶ 1", "One."), ("¶ 2", "Two.")]


def test_html_nested_ten_thousand_deep_is_read(tmp_path: Path) -> None:
    document = read(tmp_path / "deep.html", "<div>" * 10_000 + "bottom" + "</div>" * 10_000)
    assert [passage.text for passage in document.passages] == ["bottom"]


def test_html_in_the_encoding_it_declares(tmp_path: Path) -> None:
    content = '<html><head><meta charset="windows-1251"></head><body><p>Привет, мир.</p></body></html>'.encode("cp1251")
    assert labels(read(tmp_path / "a.html", content)) == [("¶ 1", "Привет, мир.")]


def test_html_without_a_telling_name_is_known_by_its_beginning(tmp_path: Path) -> None:
    assert read(tmp_path / "page", "<!DOCTYPE html><h1>T</h1><p>Body.</p>").kind == "HTML"


MARKDOWN = """---
title: hidden
---
Opening line.

# First *part*

A paragraph with a [link](https://example.org) and **weight**
on two lines.

- item one
- item two

Second part
-----------

```python
# no heading

x = 1
```

> quoted
"""


def test_markdown_is_cited_by_heading(tmp_path: Path) -> None:
    document = read(tmp_path / "a.md", MARKDOWN)
    assert labels(document) == [
        ("§ Beginning", "Opening line."),
        ("§ First *part*", "A paragraph with a link and weight\non two lines."),
        ("§ First *part*", "- item one"),
        ("§ First *part*", "- item two"),
        ("§ Second part", "# no heading\nx = 1"),
        ("§ Second part", "quoted"),
    ]


def test_markdown_without_headings_is_cited_by_line(tmp_path: Path) -> None:
    document = read(tmp_path / "a.md", "First.\n\nSecond,\nstill second.\n\n\nThird.\n")
    assert [place for place, _ in labels(document)] == ["line 1", "line 3", "line 7"]
    assert len(document.places) == 7


def test_text_is_cited_by_line(tmp_path: Path) -> None:
    document = read(tmp_path / "a.txt", "\nFirst.\n\nSecond,\nstill second.\n")
    assert labels(document) == [("line 2", "First."), ("line 4", "Second,\nstill second.")]


def test_text_without_blank_lines_is_cited_in_pieces(tmp_path: Path) -> None:
    document = read(tmp_path / "a.log", "".join(f"{n:05} something happened on the bridge\n" for n in range(1, 201)))
    starts = [int(passage.text[:5]) for passage in document.passages]
    assert [passage.place.number for passage in document.passages] == starts
    assert len(starts) > 4


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_text_of_any_common_encoding(tmp_path: Path, encoding: str) -> None:
    text = (
        "Die Brücke meldete dichten Nebel über dem Kanal, und die Wärter hörten nichts außer dem Läuten der Glocke. "
        * 5
    )
    document = read(tmp_path / "a.txt", text.encode(encoding))
    assert document.passages[0].text.strip() == text.strip()


def test_text_in_an_eastern_encoding(tmp_path: Path) -> None:
    text = "船は霧の中で止まった。灯台の光は見えなかった。乗組員は鐘を鳴らし続けた。" * 20
    assert read(tmp_path / "a.txt", text.encode("shift_jis")).passages[0].text == text


def test_a_large_text_in_an_old_encoding_is_read_in_a_moment(tmp_path: Path) -> None:
    text = "Die Wärter hörten nichts außer dem Läuten der Glocke über dem Fluß.\n\n" * 20_000
    document = read(tmp_path / "a.txt", text.encode("cp1252"))
    assert document.passages[-1].text == "Die Wärter hörten nichts außer dem Läuten der Glocke über dem Fluß."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("film.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(500)),
        ("sound.txt", b"ID3\x04" + bytes(range(256)) * 4),
        ("program", b"\x7fELF" + bytes(800)),
        ("noise.md", bytes(range(256)) * 8),
    ],
)
def test_what_is_not_text_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DocumentError, match=f"'{name}' cannot be read: it is not text. PDF, Word"):
        read(tmp_path / name, content)


@pytest.mark.parametrize(
    ("name", "inside", "what"),
    [
        ("table.xlsx", "xl/workbook.xml", "a spreadsheet"),
        ("talk.pptx", "ppt/presentation.xml", "a presentation"),
        ("letter.odt", "content.xml", "an OpenDocument file"),
        ("all.zip", "readme.txt", "a zip archive"),
    ],
)
def test_other_archives_are_named_for_what_they_are(tmp_path: Path, name: str, inside: str, what: str) -> None:
    path = making.archive(tmp_path / name, [inside])
    with pytest.raises(DocumentError, match=f"'{name}' cannot be read: it is {what}"):
        read_document(Reading(path=path, name=name))


def test_a_pdf_in_name_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'a.pdf' is not a PDF, though its name says so"):
        read(tmp_path / "a.pdf", "Just text.")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'a.txt' is empty"):
        read(tmp_path / "a.txt", b"")


@pytest.mark.parametrize("content", ["   \n\n ", "<html><body><script>1</script></body></html>"])
def test_a_file_without_text_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DocumentError, match=r"holds no text"):
        read(tmp_path / "a.html", content)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'a.txt' has 3 MB; at most 2 MB"):
        read(tmp_path / "a.txt", b"x" * 3_000_000, limits=Limits(bytes_per_file=2_000_000))


def test_nuls_do_not_come_through(tmp_path: Path) -> None:
    text = read(tmp_path / "a.md", b"Words. " * 500 + b"A line with a NUL: \x00.").passages[0].text
    assert "\0" not in text


def test_documents_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    one, two = read(tmp_path / "1.txt", "word " * 100), read(tmp_path / "2.txt", "word " * 100)
    check_together([one, two], Limits(characters=1_000))
    with pytest.raises(DocumentError, match=r"together; at most 900"):
        check_together([one, two], Limits(characters=900))


def test_names_are_made_fit_for_citations() -> None:
    assert unique_names(["a.pdf", "A.pdf", "dir/a.pdf", "x [1]; y.md", "n" * 100, "\n"]) == [
        "a.pdf",
        "A.pdf (2)",
        "a.pdf (3)",
        "x (1), y.md",
        "n" * 59 + "…",
        "document",
    ]
