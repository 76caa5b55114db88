"""Reading PDF files."""

from pathlib import Path

import pytest

from tests.tools import making
from tools.documents import Document, DocumentError, Limits, Reading, Watch, cut, read_document


def read(path: Path, **watch: object) -> Document:
    return read_document(Reading(path=path, name=path.name, mime="application/pdf"), Watch(**watch))  # type: ignore[arg-type]


def text_of(document: Document, page: int) -> str:
    return " ".join(passage.text for passage in document.passages if passage.place.number == page)


def test_every_passage_knows_its_page(tmp_path: Path) -> None:
    document = read(making.pdf(tmp_path / "a.pdf", ["The lamp was lit.", "The fog came.", "The ship stopped."]))
    assert [(passage.place.label, passage.text) for passage in document.passages] == [
        ("p. 1", "The lamp was lit."),
        ("p. 2", "The fog came."),
        ("p. 3", "The ship stopped."),
    ]
    assert (document.kind, document.pages, document.words) == ("PDF", 3, 10)


def test_lines_are_joined_to_running_text_and_hyphens_at_line_ends_go(tmp_path: Path) -> None:
    text = (
        "The operators of the towers kept a careful jour-\nnal of messages that were inter-\nrupted by the morning fog."
    )
    document = read(making.pdf(tmp_path / "a.pdf", [text]))
    assert text_of(document, 1) == (
        "The operators of the towers kept a careful journal of messages that were interrupted by the morning fog."
    )


def test_running_heads_and_page_numbers_are_no_text(tmp_path: Path) -> None:
    pages = [f"This is what page number {word} says in its only sentence." for word in ("one", "two", "three", "four")]
    document = read(making.pdf(tmp_path / "a.pdf", pages, head="Annual report 2025"))
    assert [passage.text for passage in document.passages] == pages


def test_a_heading_does_not_run_into_the_sentence_below_it(tmp_path: Path) -> None:
    body = (
        "The three minutes of silence did three jobs at the same time, and no mechanism enforced them on anyone. " * 4
    )
    document = read(making.pdf(tmp_path / "a.pdf", [f"Silence\n{body}"]))
    assert document.passages[0].text == "Silence"


def test_a_heading_announces_and_claims_nothing(tmp_path: Path) -> None:
    body = (
        "The three minutes of silence did three jobs at the same time, and no mechanism enforced them on anyone. " * 4
    )
    document = read(making.pdf(tmp_path / "a.pdf", [f"8. Three minutes of silence\n{body}"]))
    assert cut([document], named=False)[0].material.splitlines()[0] == "8. Three minutes of silence [p. 1]:"


@pytest.mark.parametrize("broken", ["did not pass\nclose enough", "did not pass clo-\nse enough"])
def test_a_sentence_that_goes_on_overleaf_is_whole_on_the_page_where_it_begins(tmp_path: Path, broken: str) -> None:
    first, second = broken.split("\n")
    pages = [
        f"It was a station by the sea. The station earned nothing at all from a ship that {first}",
        f"{second} to be read. So it stood on the headland.",
    ]
    document = read(making.pdf(tmp_path / "a.pdf", pages))
    whole = "The station earned nothing at all from a ship that did not pass close enough to be read."
    assert text_of(document, 1) == f"It was a station by the sea. {whole}"
    assert text_of(document, 2) == "So it stood on the headland."


def test_a_sentence_that_fills_the_next_page_moves_to_the_page_where_it_begins(tmp_path: Path) -> None:
    pages = ["The list of everything that the keepers of the lamps had seen that night, and reported,", "is here."]
    document = read(making.pdf(tmp_path / "a.pdf", pages))
    assert (text_of(document, 1)[-8:], text_of(document, 2), document.remarks) == ("is here.", "", ())


def test_a_scan_is_told_to_need_text_recognition(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'scan.pdf' has 3 pages but no text, and none could be recognised"):
        read(making.scan(tmp_path / "scan.pdf", 3))


def test_pages_without_text_among_others_are_remarked_on(tmp_path: Path) -> None:
    document = read(making.pdf(tmp_path / "a.pdf", ["Words.", "", "More words."]))
    assert document.remarks == ("a.pdf: no text on page 2.",)
    assert len(document.places) == 3


def test_a_file_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'secret.pdf' is encrypted. Save it without a password"):
        read(making.pdf(tmp_path / "secret.pdf", ["Secret."], password="a secret"))


def test_a_file_with_nothing_but_an_owners_password_is_read(tmp_path: Path) -> None:
    document = read(making.pdf(tmp_path / "a.pdf", ["Anyone may read this."], owner="somebody"))
    assert text_of(document, 1) == "Anyone may read this."


@pytest.mark.parametrize("keep", [9, 300, 0.5])
def test_a_truncated_file_is_called_damaged(tmp_path: Path, keep: float) -> None:
    path = making.pdf(tmp_path / "cut.pdf", ["One page. " * 50] * 5)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(DocumentError, match=r"'cut.pdf' is a damaged PDF"):
        read(path)


def test_garbage_behind_a_pdf_header_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "noise.pdf"
    path.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 40)
    with pytest.raises(DocumentError, match=r"'noise.pdf' is a damaged PDF"):
        read(path)


def test_one_damaged_page_does_not_cost_the_others(tmp_path: Path) -> None:
    path = making.pdf(tmp_path / "a.pdf", ["The first page.", "The second page.", "The third page."], broken=2)
    document = read(path)
    assert text_of(document, 1) + text_of(document, 3) == "The first page.The third page."
    assert document.remarks == ("a.pdf: page 2 could not be read.",)


def test_a_file_with_nothing_but_damaged_pages_is_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'a.pdf' is a damaged PDF"):
        read(making.pdf(tmp_path / "a.pdf", ["The only page."], broken=1))


def test_too_many_pages_are_refused(tmp_path: Path) -> None:
    path = making.pdf(tmp_path / "long.pdf", ["x"] * 5)
    with pytest.raises(DocumentError, match=r"'long.pdf' has 5 pages; at most 4 can be read"):
        read(path, limits=Limits(pages=4))


def test_too_much_text_is_refused(tmp_path: Path) -> None:
    path = making.pdf(tmp_path / "long.pdf", ["A sentence of text. " * 100] * 3)
    with pytest.raises(DocumentError, match=r"characters of text"):
        read(path, limits=Limits(characters=1_000))


def test_progress_is_told_after_each_page(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    read(making.pdf(tmp_path / "a.pdf", ["a", "b", "c"]), page=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_reading_ends_at_the_next_page_when_nobody_waits_any_more(tmp_path: Path) -> None:
    told: list[int] = []
    path = making.pdf(tmp_path / "a.pdf", ["a", "b", "c"])
    with pytest.raises(DocumentError, match=r"stopped"):
        read(path, page=lambda done, _: told.append(done), stopped=lambda: len(told) == 2)
    assert told == [1, 2]
