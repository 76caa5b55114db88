"""The console: colours and bars on a terminal; plain lines elsewhere, and where NO_COLOR is set."""

import contextlib
import os
import sys
from typing import NoReturn, TextIO

import rich.console
from rich.table import Table

from scripts.terminal.words import one_line

UNBOUNDED_COLUMNS = 100_000


class Console(rich.console.Console):
    """Writes text as it is, without reading markup in it. Raises `BrokenPipeError` when the reader has left."""

    def __init__(self, file: TextIO) -> None:
        styled = file.isatty() and not os.environ.get("NO_COLOR")
        width = None if styled else UNBOUNDED_COLUMNS
        super().__init__(file=file, force_terminal=styled, width=width, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def tell(sentence: str) -> None:
    """Writes a line to standard error, for the person."""
    with contextlib.suppress(BrokenPipeError):
        print(one_line(sentence), file=sys.stderr)


def show(table: Table) -> None:
    """Writes a table to standard output, without blanks at the ends of its lines."""
    console = Console(sys.stdout)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
