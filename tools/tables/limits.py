"""How large a table may be, and the error of one that cannot be read."""

from dataclasses import dataclass

from toolkit import ToolError


class TableError(ToolError):
    """A table cannot be read or written; the message is a sentence for the person who sent it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is larger is refused with a sentence, never cut off in silence."""

    files: int = 20
    columns: int = 1_000
    rows: int = 200_000_000  # of a Parquet file, which can pack any number of equal rows into a few bytes
    bytes_per_file: int = 4_000_000_000
    line_bytes: int = 2_000_000  # of one row of a CSV
    cell_characters: int = 1_000_000  # of a CSV that has to be put in order row by row
    unpacked_bytes: int = 400_000_000  # of an XLSX, which is a zip archive
    sheet_cells: int = 10_000_000  # of an XLSX, the empty ones in its used range counted: some 300 MB of memory


LIMITS = Limits()
MEMORY_LIMIT = "1000MB"  # of DuckDB; the rest of a tool's allowance is Python, and what DuckDB does not count
SPILL_LIMIT = "8GB"
THREADS = 2
