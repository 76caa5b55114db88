"""The outcome of each row, and the table with the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from toolkit import ToolError
from tools.tables import Cell

EXAMPLE_CHARACTERS = 200
DONE, EMPTY, NOT_ASKED, FAILED = "done", "skipped: empty", "not asked", "failed"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row's outcome."""

    answer: str | None = None
    failure: str | None = None
    """A sentence: why the row has no answer."""
    empty: bool = False
    """All cells that the prompt uses are empty, so the row was not asked."""
    tokens: int = 0
    """Tokens sent and received."""

    @property
    def status(self) -> str:
        if self.failure is not None:
            return f"{FAILED}: {self.failure}"
        return EMPTY if self.empty else DONE


class Answers:
    """The outcomes by row number, from 0."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.tokens = 0
        self._rows: dict[int, Row] = {}
        self._kinds: Counter[str] = Counter()

    def add(self, number: int, row: Row) -> None:
        self._rows[number] = row
        self._kinds[FAILED if row.failure is not None else row.status] += 1
        self.tokens += row.tokens

    @property
    def counts(self) -> dict[str, int]:
        """Returns the number of rows by outcome."""
        return {
            "done": self._kinds[DONE],
            "failed": self._kinds[FAILED],
            "skipped": self._kinds[EMPTY],
            "not_asked": self.total - self._kinds.total(),
        }

    @property
    def first_failure(self) -> str:
        """Returns the sentence of the first failed row; empty if none failed."""
        failed = (row.failure for _, row in sorted(self._rows.items()) if row.failure is not None)
        return next(failed, "")

    def examples(self, count: int) -> list[dict[str, int | str]]:
        """Returns the first answers, shortened, with their row numbers from 1."""
        answered = ((number, row.answer) for number, row in sorted(self._rows.items()) if row.answer is not None)
        return [
            {"row": number + 1, "answer": answer[:EXAMPLE_CHARACTERS]} for number, answer in islice(answered, count)
        ]

    def enriched(self, rows: Sequence[Mapping[str, Cell]], columns: Sequence[str]) -> Iterator[list[Cell]]:
        """Yields the table's rows in their order, each with its answer, status and tokens."""
        for number, cells in enumerate(rows):
            row = self._rows.get(number)
            added: list[Cell] = [None, NOT_ASKED, None] if row is None else [row.answer, row.status, row.tokens]
            yield [*(cells[name] for name in columns), *added]


def added_columns(columns: Sequence[str], output_column: str) -> list[str]:
    """Returns unused names for answer, status and tokens. Raises ToolError when `output_column` is taken.

    Names that differ only in case count as the same, because Parquet's readers do so.
    """
    taken = {name.casefold() for name in columns}
    if output_column.casefold() in taken:
        raise ToolError(f"The table already has a column {output_column!r}: choose another output_column.")
    taken.add(output_column.casefold())
    added = [output_column]
    for name in ("status", "tokens"):
        while name.casefold() in taken:
            name = f"{output_column}_{name}"
        taken.add(name.casefold())
        added.append(name)
    return added
