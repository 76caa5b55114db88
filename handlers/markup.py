"""Prepares a model's Markdown for the page: marks `\\(…\\)` as a formula, and escapes the `$` of prices."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\\.|`+|~{3,}|\$+")
SPECIAL = re.compile(r"[\\`$~]")
FORMULA = "$$"
CLOSING = {FORMULA: FORMULA, r"\(": r"\)", r"\[": r"\]"}
FENCE = 3
"""Characters that open a block of code at the beginning of a line."""
INDENTED = 4
"""Columns before a line that make it code, after an empty line."""
ITEM = re.compile(r"\s*([-*+]|\d{1,9}[.)])(\s|$)|\s*\[\^")
"""The beginning of a list's entry or of a footnote, whose text is indented below it."""
ADDRESS = re.compile(r"[(<*_~\"']*(https?://|www\.)[A-Za-z0-9.-]+([/:?#]|$)", re.ASCII)
"""A word that the page makes a link of."""
BLANK = re.compile(r"\s")
MAX_INDENTATION, MAX_HEAD, MAX_WORD = 16, 16, 300
"""Characters of a line's indentation, of what follows it, and of a word that are looked at."""


class Markup:
    """One text, piece by piece. Code and web addresses stay as they are."""

    def __init__(self) -> None:
        self._held = ""
        self._head = ""  # the beginning of the present line
        self._word = ""  # what follows the last blank of the present line
        self._may_be_code = True  # if the present line is indented
        self._in_list = False
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
        first, *others = text.split("\n")
        marked = [self._mark_line(first)]
        for line in others:
            self._end_line()
            marked.append(self._mark_line(line))
        return "\n".join(marked)

    def _mark_line(self, text: str) -> str:
        """Takes more of the present line."""
        marked: list[str] = []
        at = 0
        for found in TOKEN.finditer(text) if SPECIAL.search(text) else ():
            before, mark, at = text[at : found.start()], found[0], found.end()
            self._pass(before)
            marked += before, mark if self._is_indented_code else self._mark(mark)
            self._pass(mark)
        self._pass(text[at:])
        return "".join(marked) + text[at:]

    def _pass(self, text: str) -> None:
        """Takes what has been read of the present line."""
        if len(self._head) < MAX_INDENTATION + MAX_HEAD:
            head = self._head + text
            indentation = len(head) - len(head.lstrip())
            self._head = head[:indentation][:MAX_INDENTATION] + head[indentation:][:MAX_HEAD]
        *before, last = BLANK.split(text)
        self._word = last[:MAX_WORD] if before else (self._word + last)[:MAX_WORD]

    def _end_line(self) -> None:
        if not self._head.strip():
            self._end_paragraph()
            self._may_be_code = True
        elif not (self._code and self._is_block):
            if ITEM.match(self._head):
                self._in_list = True
            elif self._may_be_code and self._indentation < 2:  # after an empty line
                self._in_list = False
            self._may_be_code = self._is_indented_code
        else:
            self._may_be_code = False
        self._head = self._word = ""

    @property
    def _indentation(self) -> int:
        """Columns."""
        return len(self._head[: len(self._head) - len(self._head.lstrip())].expandtabs(INDENTED))

    @property
    def _is_indented_code(self) -> bool:
        around = self._code or self._formula or self._in_list
        return self._may_be_code and not around and self._indentation >= INDENTED

    def _mark(self, mark: str) -> str:
        if mark[0] in "`~":
            self._mark_code(mark, begins_line=not self._head.strip())
            return mark
        return mark if self._code else self._outside_of_code(mark)

    def _outside_of_code(self, mark: str) -> str:
        if self._formula:
            if mark != CLOSING[self._formula]:
                return mark
            self._formula = ""
            return FORMULA
        if mark[0] == "$" and ADDRESS.match(self._word):
            return mark
        # `\[1]` is a bracket, not a formula: those stand on lines of their own.
        if mark in (FORMULA, r"\(") or (mark == r"\[" and not self._head.strip()):
            self._formula = mark
            return FORMULA
        return mark.replace("$", r"\$") if mark[0] == "$" else mark

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
    last = text[-1:]
    marks = len(text) - len(text.rstrip(last)) if last and last in "`~$" else 0
    return len(text) - marks - _backslashes(text[: len(text) - marks])


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))
