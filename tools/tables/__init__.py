"""Tables for tools: reads CSV, TSV, Excel and Parquet into a locked database or as rows; writes CSV and Parquet."""

from tools.tables.database import RESULT, Column, Database, Interrupted, Table
from tools.tables.kinds import READABLE, looks_like_table
from tools.tables.limits import LIMITS, Limits, TableError
from tools.tables.names import quoted, table_names
from tools.tables.rows import Cell, Rows, cell, read_rows
from tools.tables.writing import write_csv, write_parquet

__all__ = [
    "LIMITS",
    "READABLE",
    "RESULT",
    "Cell",
    "Column",
    "Database",
    "Interrupted",
    "Limits",
    "Rows",
    "Table",
    "TableError",
    "cell",
    "looks_like_table",
    "quoted",
    "read_rows",
    "table_names",
    "write_csv",
    "write_parquet",
]
