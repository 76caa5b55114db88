"""Formulas and prices in Markdown: what the page must not take for the other."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.markup import Markup, marked_up

PIECES = st.lists(
    st.one_of(
        st.text(alphabet="\\()[]$`~\n ax5", max_size=6),
        st.sampled_from(["\n\n    ", "\n\t", "\n- ", "\n1", ". ", "[^", "https://ex", "ww", "w.ex", "/$"]),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("It costs $5, then $6.", r"It costs \$5, then \$6."),
        (r"It costs \$5.", r"It costs \$5."),
        (r"So \(e^{i\pi} = -1\) holds.", r"So $$e^{i\pi} = -1$$ holds."),
        ("\\[\nE = mc^2\n\\]", "$$\nE = mc^2\n$$"),
        ("$$\nE = mc^2\n$$", "$$\nE = mc^2\n$$"),
        ("An inline $$x_1$$ and $5.", "An inline $$x_1$$ and \\$5."),
        ("`echo $HOME` costs $5", "`echo $HOME` costs \\$5"),
        ("``a ` $b`` $c", "``a ` $b`` \\$c"),
        ("```sh\necho $A \\(b\\)\n\necho $B\n```\n$5", "```sh\necho $A \\(b\\)\n\necho $B\n```\n\\$5"),
        ("~~~\n$A\n~~~\n$5", "~~~\n$A\n~~~\n\\$5"),
        ("A stray ` mark.\n\n$5", "A stray ` mark.\n\n\\$5"),
        ("A stray $$ mark.\n\n$5", "A stray $$ mark.\n\n\\$5"),
        ("```sh\necho ``` $A\n```\n$5", "```sh\necho ``` $A\n```\n\\$5"),
        ("As ```x``` shows, $5.\n\n$6", "As ```x``` shows, \\$5.\n\n\\$6"),
        ("An unclosed ``` in a line.\n\n$6", "An unclosed ``` in a line.\n\n\\$6"),
        (r"See \[1\] for $5.", r"See \[1\] for \$5."),
        ("  ```\n  $A\n  ```\n$5", "  ```\n  $A\n  ```\n\\$5"),
        (r"A path C:\temp\new", r"A path C:\temp\new"),
        ("Nothing special.", "Nothing special."),
        (
            "Run:\n\n    echo $A `\n\n\techo \\(b\\) $B\n    echo $C\n$5",
            "Run:\n\n    echo $A `\n\n\techo \\(b\\) $B\n    echo $C\n\\$5",
        ),
        ("    echo $A", "    echo $A"),
        ("It costs\n    $5, then $6.", "It costs\n    \\$5, then \\$6."),
        ("1. Rent\n\n    It costs $5.\n\nRun:\n\n    $A", "1. Rent\n\n    It costs \\$5.\n\nRun:\n\n    $A"),
        ("- Rent\n\n  once\n\n    It costs $5.", "- Rent\n\n  once\n\n    It costs \\$5."),
        ("[^1]: A note.\n\n    It costs $5.", "[^1]: A note.\n\n    It costs \\$5."),
        ("```\n- a\n```\n\n    $A", "```\n- a\n```\n\n    $A"),
        ("See https://example.org/?a=$1&b=$$2 for $5.", "See https://example.org/?a=$1&b=$$2 for \\$5."),
        ("(www.example.org/$a) <https://example.org/$b>", "(www.example.org/$a) <https://example.org/$b>"),
        (
            "https://a_b/$1 xhttps://example.org/$2 https:// $3",
            "https://a_b/\\$1 xhttps://example.org/\\$2 https:// \\$3",
        ),
    ],
)
def test_formulas_are_marked_and_prices_are_not(written: str, shown: str) -> None:
    assert marked_up(written) == shown


@given(PIECES)
@example(["\\", "\\["])
@example(["\\", "$", "5"])
def test_it_does_not_matter_where_a_text_is_cut(pieces: list[str]) -> None:
    markup = Markup()
    assert "".join(markup.feed(piece) for piece in pieces) + markup.close() == marked_up("".join(pieces))


@pytest.mark.parametrize("piece", ["\n", " ", "\n ", "\\", "$", "`", "~", "$ ", "$x", "`x", "\n    $", "www.a/$"])
def test_a_long_row_of_marks_takes_no_longer_than_its_length(piece: str) -> None:
    text = piece * 200_000 + "x"
    assert len(marked_up(text)) >= len(text)


@given(PIECES)
def test_a_text_is_the_same_but_for_backslashes_and_dollars(pieces: list[str]) -> None:
    text = "".join(pieces)
    plain = str.maketrans("", "", "\\$()[]")
    assert marked_up(text).translate(plain) == text.translate(plain)
