"""Prompts with `{column}` placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit import ToolError
from tools.tables import Cell

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_MAX_COLUMNS_TOLD = 30


@dataclass(frozen=True, kw_only=True)
class Template:
    """A prompt whose placeholders are columns of a table. A placeholder is only a name, without attributes, indexes or
    formats."""

    pieces: tuple[str, ...]
    """Alternately text and column names, beginning and ending with text."""

    @classmethod
    def parse(cls, prompt: str, columns: Sequence[str]) -> Template:
        """Parses a prompt. Raises ToolError for an unknown column, a single brace, or a prompt without placeholders."""
        pieces = [""]
        end = 0
        for match in _PIECE.finditer(prompt):
            pieces[-1] += prompt[end : match.start()]
            end = match.end()
            if match[0] in ("{{", "}}"):
                pieces[-1] += match[0][0]
            elif match[1] is None:
                raise ToolError(
                    f"The prompt has a single {match[0]!r} at character {match.start() + 1}. Columns are written as "
                    "{column}; write a literal brace twice, {{ or }}."
                )
            else:
                pieces += [_column(match[1], columns), ""]
        pieces[-1] += prompt[end:]
        if len(pieces) == 1:
            raise ToolError(
                "The prompt names no column, so all rows would get the same question. Write at least one column "
                f"in braces, such as {{{columns[0]}}}. {_column_list(columns)}"
            )
        return cls(pieces=tuple(pieces))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the prompt, each once, in order."""
        return tuple(dict.fromkeys(self.pieces[1::2]))

    def fill(self, row: Mapping[str, Cell]) -> str:
        """Returns the prompt of one row. Braces in cells are not placeholders."""
        pieces = list(self.pieces)
        pieces[1::2] = [_text(row[name]) for name in pieces[1::2]]
        return "".join(pieces)

    def has_nothing_of(self, row: Mapping[str, Cell]) -> bool:
        """Whether every cell that the prompt uses is empty."""
        return not any(_text(row[name]).strip() for name in self.columns)


def _column(placeholder: str, columns: Sequence[str]) -> str:
    """Returns the column with this name, or the only one that differs just in case and spaces."""
    if placeholder in columns:
        return placeholder
    alike = [name for name in columns if _plain(name) == _plain(placeholder)]
    if len(alike) == 1 and alike[0].strip():
        return alike[0]
    raise ToolError(
        f"The table has no column {placeholder!r}. {_column_list(columns)} (Write braces as {{{{ and }}}}.)"
    )


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _column_list(columns: Sequence[str]) -> str:
    more = len(columns) - _MAX_COLUMNS_TOLD
    named = ", ".join(repr(name) for name in columns[:_MAX_COLUMNS_TOLD])
    return f"Its columns are {named}{f' and {more} more' if more > 0 else ''}."


def _text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else str(cell)
