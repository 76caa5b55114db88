"""What became of each row, and the table that comes out of it."""

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
    failure: str | None = None  # a sentence: why there is no answer
    empty: bool = False  # all cells that the prompt uses are empty: it was not asked
    tokens: int = 0  # sent and received

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
        """Rows by what became of them."""
        return {
            "done": self._kinds[DONE],
            "failed": self._kinds[FAILED],
            "skipped": self._kinds[EMPTY],
            "not_asked": self.total - self._kinds.total(),
        }

    @property
    def first_failure(self) -> str:
        """The sentence of the first failed row; empty if there is none."""
        failed = (row.failure for _, row in sorted(self._rows.items()) if row.failure is not None)
        return next(failed, "")

    def examples(self, count: int) -> list[dict[str, int | str]]:
        """The first answers, cut, with their row numbers from 1."""
        answered = ((number, row.answer) for number, row in sorted(self._rows.items()) if row.answer is not None)
        return [
            {"row": number + 1, "answer": answer[:EXAMPLE_CHARACTERS]} for number, answer in islice(answered, count)
        ]

    def enriched(self, rows: Sequence[Mapping[str, Cell]], columns: Sequence[str]) -> Iterator[list[Cell]]:
        """The table's own cells in its own order, each row with its answer, status and tokens."""
        for number, cells in enumerate(rows):
            row = self._rows.get(number)
            added: list[Cell] = [None, NOT_ASKED, None] if row is None else [row.answer, row.status, row.tokens]
            yield [*(cells[name] for name in columns), *added]


def added_columns(columns: Sequence[str], output_column: str) -> list[str]:
    """Names for answer, status and tokens that the table does not have. Raises ToolError when the first is taken.

    Names that differ in case only count as the same: Parquet's readers take them so.
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
