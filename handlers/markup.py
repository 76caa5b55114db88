"""Prepares a model's Markdown for the page, where `$…$` would be a formula: prices are no formulas, `\\(…\\)` are."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\\.|`+|~{3,}|\$+|\n\s*\n", re.DOTALL)
SPECIAL = re.compile(r"[\\`$~]")
UNSURE = re.compile(r"(?:\\|`+|~+|\$+|\n\s*)\Z")
"""What the next piece may continue."""
FORMULA = "$$"
DELIMITERS = frozenset({r"\(", r"\)", r"\[", r"\]"})
FENCE = 3
"""Characters that open a block of code."""


class Markup:
    """One text, piece by piece. Code stays as it is."""

    def __init__(self) -> None:
        self._held = ""
        self._code = ""
        """The characters that opened the code around here; empty outside of code."""
        self._in_formula = False

    def feed(self, piece: str) -> str:
        """Returns the text that is sure by now."""
        text, self._held = self._held + piece, ""
        if unsure := UNSURE.search(text):
            text, self._held = text[: unsure.start()], unsure[0]
        if not (SPECIAL.search(text) or self._code or self._in_formula):
            return text
        return TOKEN.sub(self._token, text)

    def close(self) -> str:
        """Returns the rest."""
        text, self._held = self._held, ""
        return TOKEN.sub(self._token, text)

    def _token(self, found: re.Match[str]) -> str:
        token = found[0]
        if token.isspace():
            self._end_paragraph()
        elif token[0] in "`~":
            self._mark_code(token)
        elif self._code:
            pass
        elif token in DELIMITERS or token == FORMULA:
            self._in_formula = not self._in_formula
            return FORMULA
        elif token[0] == "$" and not self._in_formula:
            return token.replace("$", r"\$")
        return token

    def _end_paragraph(self) -> None:
        """A mark without its counterpart means nothing beyond its paragraph, except the one that opens a block."""
        self._in_formula = False
        if len(self._code) < FENCE:
            self._code = ""

    def _mark_code(self, marks: str) -> None:
        if not self._code:
            self._code = "" if self._in_formula else marks
        elif marks == self._code or (len(self._code) >= FENCE and marks.startswith(self._code)):
            self._code = ""


def marked_up(text: str) -> str:
    """Returns a whole text."""
    markup = Markup()
    return markup.feed(text) + markup.close()
