"""Documents cut into passages: what belongs together, and how its place is called."""

from typing import Any

from tools.documents import Document, Place
from tools.documents import Passage as Block
from tools.search import cut_passages


def block(number: int, text: str, kind: Any = "page", title: str = "") -> Block:
    return Block(place=Place(kind=kind, number=number, title=title), text=text)


def cut(*blocks: Block) -> list[tuple[str, str]]:
    places = tuple(dict.fromkeys(one.place for one in blocks))
    document = Document(name="a", kind="x", passages=blocks, places=places)
    return [(passage.place, passage.text) for passage in cut_passages(document)]


def test_passages_do_not_span_pages_or_sections() -> None:
    assert cut(block(1, "One."), block(1, "Two."), block(2, "Three.")) == [
        ("page 1", "One.\nTwo."),
        ("page 2", "Three."),
    ]
    sections = [block(n, f"Text {n}.", "section", f"Title {n}") for n in (1, 2)]
    assert cut(*sections) == [("§ Title 1", "Text 1."), ("§ Title 2", "Text 2.")]


def test_lines_and_paragraphs_are_gathered() -> None:
    assert cut(*(block(n, f"Line {n}.", "line") for n in (3, 4, 9))) == [("lines 3–9", "Line 3.\nLine 4.\nLine 9.")]
    assert cut(block(7, "One.", "paragraph")) == [("paragraph 7", "One.")]


def test_long_text_is_cut_at_sentences_and_nothing_is_lost() -> None:
    sentences = [f"The keeper of lamp {n} counted the ships that passed by in the night." for n in range(100)]
    passages = [text for _, text in cut(block(1, " ".join(sentences)))]
    assert all(len(text) <= 1_200 and text.endswith("night.") for text in passages)
    assert " ".join(passages).split() == " ".join(sentences).split()
    assert max(len(text) for text in [text for _, text in cut(block(1, "x" * 10_000))]) <= 1_200
