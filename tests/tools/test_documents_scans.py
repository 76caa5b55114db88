"""Text recognition: scans and pictures of text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import making
from tools.documents import Document, DocumentError, Reading, Watch, pdf, read_document, scans
from tools.quoting import quotes_for

LETTER = (
    "The keeper of the north light reports that the lamp was out from two until four in the morning.\n"
    "The spare mantle was found in the boat house.\n"
    "Decision: a second mantle is kept in the lantern room, at a cost of 48 pounds."
)
PAGES = 12
GERMAN = "Der Leuchtturmwärter meldet: Die Lampe war von zwei bis vier Uhr aus. Größere Schäden gab es nicht."


def test_a_scanned_pdf_is_read_page_by_page_with_its_pages(tmp_path: Path) -> None:
    path = making.scanned(tmp_path / "letter.pdf", [LETTER, GERMAN])
    told: list[tuple[int, int]] = []
    document = read(path, Watch(page=lambda done, total: told.append((done, total))))
    assert told[-2:] == [(1, 2), (2, 2)]
    assert [passage.place.number for passage in document.passages] == sorted(
        passage.place.number for passage in document.passages
    )
    [best, *_] = quotes_for("What was decided?", [document], limit=3)
    assert (best.place.label, "48 pounds" in " ".join(best.sentences)) == ("p. 1", True)
    assert "Leuchtturmwärter" in text_of(document, 2)
    assert document.remarks == ("letter.pdf: pages 1, 2 read by text recognition, which can make mistakes.",)


def test_a_picture_of_text_is_read(tmp_path: Path) -> None:
    making.picture_of(LETTER).save(tmp_path / "photo.jpeg")
    assert "spare mantle" in text_of(read(tmp_path / "photo.jpeg"), 1)


def test_a_picture_without_text_and_one_that_is_broken_are_refused_with_a_sentence(tmp_path: Path) -> None:
    white = making.picture_of("")
    white.save(tmp_path / "white.tiff")
    with pytest.raises(DocumentError, match=r"There is no text to be seen in 'white.tiff'"):
        read(tmp_path / "white.tiff")
    white.save(tmp_path / "white.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "white.png").read_bytes()[:60])
    with pytest.raises(DocumentError, match=r"'broken.png' could not be read by text recognition"):
        read(tmp_path / "broken.png")


def test_a_stopped_call_ends_the_recognition(tmp_path: Path) -> None:
    path = making.scanned(tmp_path / "letter.pdf", [LETTER] * PAGES)
    seen: list[int] = []
    watch = Watch(page=lambda done, _: seen.append(done), stopped=lambda: len(seen) > PAGES)  # each is looked at first
    with pytest.raises(DocumentError, match="was stopped"):
        read(path, watch)
    assert len(seen) < 2 * PAGES


def test_without_text_recognition_scans_and_pictures_say_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (scans, pdf):
        monkeypatch.setattr(module, "can_recognise", lambda: False)
    making.picture_of(LETTER).save(tmp_path / "photo.png")
    for path in (making.scanned(tmp_path / "letter.pdf", [LETTER]), tmp_path / "photo.png"):
        with pytest.raises(DocumentError, match=r"Install text recognition with ./scripts/install --ocr"):
            read(path)


def read(path: Path, watch: Watch | None = None) -> Document:
    return read_document(Reading(path=path, name=path.name), watch)


def text_of(document: Document, page: int) -> str:
    return " ".join(passage.text for passage in document.passages if passage.place.number == page)
