"""The limits of tables, and the error for tables that cannot be read."""

from dataclasses import dataclass

from toolkit import ToolError


class TableError(ToolError):
    """The table cannot be read or written. The message is a sentence for the user who sent it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of tables. Larger ones are refused with a sentence, never cut off."""

    files: int = 20
    columns: int = 1_000
    rows: int = 200_000_000
    """Maximum rows of a Parquet file, which can pack any number of equal rows into a few bytes."""
    bytes_per_file: int = 4_000_000_000
    line_bytes: int = 2_000_000
    """Maximum size of one row of a CSV file."""
    cell_characters: int = 1_000_000
    """Maximum size of a cell in a CSV file that must be rewritten row by row."""
    unpacked_bytes: int = 400_000_000
    """Maximum unpacked size of an XLSX file, which is a zip archive."""
    sheet_cells: int = 10_000_000
    """Maximum cells of a sheet's used range, including empty ones; takes about 300 MB of memory."""


LIMITS = Limits()
MEMORY_LIMIT = "1000MB"
"""DuckDB's limit; the rest of a tool's allowance is for Python and memory that DuckDB does not count."""
SPILL_LIMIT = "8GB"
THREADS = 2
