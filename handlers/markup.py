"""Prepares a model's Markdown for the page: marks `\\(…\\)` as a formula, and escapes the `$` of prices."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\\.|`+|~{3,}|\$+|\n[^\S\n]*(?=\n)", re.DOTALL)
SPECIAL = re.compile(r"[\\`$~]")
FORMULA = "$$"
CLOSING = {FORMULA: FORMULA, r"\(": r"\)", r"\[": r"\]"}
FENCE = 3
"""Characters that open a block of code at the beginning of a line."""


class Markup:
    """One text, piece by piece. Code stays as it is."""

    def __init__(self) -> None:
        self._held = ""
        self._line = ""  # empty as long as the present line is blank
        self._code = ""  # the characters that opened the code around here
        self._is_block = False
        self._formula = ""  # what opened it

    def feed(self, piece: str) -> str:
        """Returns the text that is sure by now."""
        text = self._held + piece
        sure = _sure(text)
        self._held = text[sure:]
        return self._mark_up(text[:sure])

    def close(self) -> str:
        """Returns the rest."""
        text, self._held = self._held, ""
        return self._mark_up(text)

    def _mark_up(self, text: str) -> str:
        special = SPECIAL.search(text) or self._code or self._formula
        marked = TOKEN.sub(self._mark, text) if special else text
        line = (self._line + text).rpartition("\n")[2]
        self._line = "x" if line.strip() else ""
        return marked

    def _mark(self, found: re.Match[str]) -> str:
        mark = found[0]
        if mark[0] == "\n":
            self._end_paragraph()
        elif mark[0] in "`~":
            self._mark_code(mark, begins_line=self._begins_line(found))
        elif not self._code:
            return self._outside_of_code(mark, found)
        return mark

    def _outside_of_code(self, mark: str, found: re.Match[str]) -> str:
        if self._formula:
            if mark != CLOSING[self._formula]:
                return mark
            self._formula = ""
            return FORMULA
        # `\[1]` is a bracket, not a formula: those stand on lines of their own.
        if mark in (FORMULA, r"\(") or (mark == r"\[" and self._begins_line(found)):
            self._formula = mark
            return FORMULA
        return mark.replace("$", r"\$") if mark[0] == "$" else mark

    def _begins_line(self, found: re.Match[str]) -> bool:
        text, start = found.string, found.start()
        before = text.rfind("\n", 0, start)
        line = text[before + 1 : start] if before >= 0 else self._line + text[:start]
        return not line.strip()

    def _end_paragraph(self) -> None:
        """A mark without its counterpart means nothing beyond its paragraph, except the one that opens a block."""
        self._formula = ""
        if not self._is_block:
            self._code = ""

    def _mark_code(self, marks: str, *, begins_line: bool) -> None:
        if not self._code:
            is_block = begins_line and len(marks) >= FENCE
            if not self._formula and (is_block or marks[0] == "`"):
                self._code, self._is_block = marks, is_block
        elif (begins_line and marks.startswith(self._code)) if self._is_block else marks == self._code:
            self._code, self._is_block = "", False


def marked_up(text: str) -> str:
    """Returns a whole text."""
    markup = Markup()
    return markup.feed(text) + markup.close()


def _sure(text: str) -> int:
    """Returns the length of the text that the next piece cannot change the meaning of."""
    end = len(text.rstrip())
    if (newline := text.find("\n", end)) >= 0:
        return newline - _backslashes(text[:newline])
    last = text[-1:]
    marks = len(text) - len(text.rstrip(last)) if last and last in "`~$" else 0
    return len(text) - marks - _backslashes(text[: len(text) - marks])


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))
