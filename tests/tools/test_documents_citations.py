"""Sentences, chunks and the citations that lead back to them."""

import pytest

from tools.documents import Chunk, Citations, Document, Passage, Place, cut
from tools.documents.chunks import cite
from tools.documents.document import section
from tools.documents.sentences import MAX_SENTENCE, sentences


def book(name: str = "book.pdf", pages: int = 40, text: str = "A sentence.") -> Document:
    places = tuple(Place(kind="page", number=n) for n in range(1, pages + 1))
    passages = tuple(Passage(place=place, text=text) for place in places)
    return Document(name=name, kind="PDF", passages=passages, places=places, pages=pages)


def report(name: str = "report.md", *titles: str) -> Document:
    places = tuple(section(n, title) for n, title in enumerate(titles or ("Summary", "Root cause"), 1))
    passages = tuple(Passage(place=place, text="It broke.") for place in places)
    return Document(name=name, kind="Markdown", passages=passages, places=places)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Kelvin came at 3.30 p.m. on Nov. 4. He left.", ["Dr. Kelvin came at 3.30 p.m. on Nov. 4.", "He left."]),
        ('He said "Stop." Then he stopped.', ['He said "Stop."', "Then he stopped."]),
        ("See J. Binns, No. 7, vs. the rest.", ["See J. Binns, No. 7, vs. the rest."]),
        ("霧だ。船が止まった。", ["霧だ。", "船が止まった。"]),
        ("  broken\nlines   joined. ", ["broken lines joined."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_text_without_full_stops_is_cut_all_the_same() -> None:
    pieces = list(sentences("word " * 1_000))
    assert all(len(piece) <= MAX_SENTENCE for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 1_000


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The lamp was lit.", "The lamp was lit [p. 3]."),
        ("Was it lit?", "Was it lit [p. 3]?"),
        ('He said "no."', 'He said "no [p. 3]."'),
        ("A heading", "A heading [p. 3]."),
    ],
)
def test_a_sentence_carries_its_citation_inside_its_final_punctuation(sentence: str, expected: str) -> None:
    assert cite(sentence, "p. 3") == expected


def test_chunks_are_even_and_know_their_pages() -> None:
    chunks = cut([book(text="A sentence of this page. " * 20)], named=False, characters=4_000)
    assert chunks[0].first.number == 1
    assert chunks[-1].last.number == 40
    assert "\n".join(chunk.material for chunk in chunks).count("[p. 17]") == 20
    sizes = [len(chunk.material) for chunk in chunks]
    assert max(sizes) <= 4_200
    assert max(sizes) - min(sizes) < 300
    assert chunks[1].label.startswith("pp. ")


def test_no_chunk_spans_two_documents_and_several_documents_are_named_in_citations() -> None:
    chunks = cut([book("a.pdf", 2), report("b.md")], named=True)
    assert [(chunk.document, chunk.label) for chunk in chunks] == [
        ("a.pdf", "pp. 1–2"),
        ("b.md", "§ Summary; § Root cause"),
    ]
    assert chunks[0].material == "A sentence [a.pdf p. 1].\nA sentence [a.pdf p. 2]."


def test_every_citation_of_the_material_is_valid() -> None:
    documents = [book(), report(), book("other report.pdf", 3)]
    citations = Citations(documents=documents, named=True)
    for chunk in cut(documents, named=True):
        assert isinstance(chunk, Chunk)
        assert citations.check(chunk.material).text == chunk.material


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Lit at dusk [p. 3].", "Lit at dusk [p. 3]."),
        ("Lit [pp. 3–5].", "Lit [pp. 3–5]."),
        ("Lit [page 3].", "Lit [p. 3]."),
        ("Lit [P.3, 5].", "Lit [p. 3; p. 5]."),
        ("Lit [pages 3-5 and 9].", "Lit [pp. 3–5; p. 9]."),
        ("Lit [p. 3; p. 99].", "Lit [p. 3]."),
        ("Lit [p. 3; p. 3].", "Lit [p. 3]."),
        ("Lit [book.pdf, p. 3].", "Lit [p. 3]."),
        ("Lit [p. 41].", "Lit."),
        ("Lit [p. 0].", "Lit."),
        ("Lit [pp. 39–44].", "Lit."),
        ("Lit [pp. 9–3].", "Lit."),
        ("Lit [other.pdf p. 3].", "Lit."),
        ("Lit [§ Imagined].", "Lit."),
        ("It is [sic] so [1], see [p. 3](https://example.org) and [ ].",) * 2,
        ("Lit [line 3].", "Lit."),
        ("Lit [see the map on page 3 of the atlas].",) * 2,
    ],
)
def test_citations_of_one_document_with_pages(written: str, expected: str) -> None:
    assert Citations(documents=[book()], named=False).check(written).text == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Broke [§ Root cause].", "Broke [§ Root cause]."),
        ("Broke [§ root Cause]", "Broke [§ Root cause]"),
        ("Broke [Root cause].", "Broke [§ Root cause]."),
        ("Broke [§ Root cuase].", "Broke [§ Root cause]."),
        ("Broke [Section: Summary; § Root cause].", "Broke [§ Summary; § Root cause]."),
        ("Broke [§ Aftermath].", "Broke."),
        ("Broke [p. 3].", "Broke."),
    ],
)
def test_citations_of_one_document_with_headings(written: str, expected: str) -> None:
    assert Citations(documents=[report()], named=False).check(written).text == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Lit [long.pdf p. 30].", "Lit [long.pdf p. 30]."),
        ("Lit [long.pdf p. 3; p. 5; short.pdf p. 2].", "Lit [long.pdf p. 3; long.pdf p. 5; short.pdf p. 2]."),
        ("Lit [LONG.PDF, page 3].", "Lit [long.pdf p. 3]."),
        ("Lit [p. 30].", "Lit [long.pdf p. 30]."),
        ("Lit [p. 3].", "Lit."),
        ("Lit [short.pdf p. 30].", "Lit."),
        ("Broke [§ Root cause].", "Broke [report.md § Root cause]."),
        ("Broke [report.md § Nowhere].", "Broke."),
        ("See [report.md].",) * 2,
    ],
)
def test_citations_of_several_documents_carry_a_name(written: str, expected: str) -> None:
    documents = [book("long.pdf", 40), book("short.pdf", 4), report()]
    assert Citations(documents=documents, named=True).check(written).text == expected


def test_what_was_kept_and_dropped_is_counted() -> None:
    checked = Citations(documents=[book()], named=False).check("A [p. 1; p. 77]. B [p. 2]. C [sic]. D [p. 88].")
    assert (checked.kept, checked.dropped) == (2, 2)


def test_lines_and_paragraphs_can_be_cited() -> None:
    lines = tuple(Place(kind="line", number=n) for n in range(1, 9))
    text = Document(name="a.txt", kind="text", passages=(Passage(place=lines[0], text="x"),), places=lines)
    check = Citations(documents=[text], named=False).check
    assert (
        check("A [line 3]. B [lines 3-5]. C [l. 4]. D [line 12].").text == "A [line 3]. B [lines 3–5]. C [line 4]. D."
    )
