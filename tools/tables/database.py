"""Tables in a database on disk: loaded by our statements, then read-only and without access to anything else."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from tools.tables import delimited, workbook
from tools.tables.kinds import kind_of
from tools.tables.limits import LIMITS, MEMORY_LIMIT, SPILL_LIMIT, THREADS, TableError
from tools.tables.names import literal, quoted

Row = tuple[Any, ...]
RESULT = "memory.main.result"
"""The table for a statement's result once the tables are locked."""

# Only the loaded tables may be read; fetching and storing are not allowed.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY_LIMIT,
    "threads": THREADS,
    "max_temp_directory_size": SPILL_LIMIT,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    type: str
    """The SQL type."""


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    """The table's name in SQL."""
    file_name: str
    columns: tuple[Column, ...]
    rows: int
    remarks: tuple[str, ...]


class Interrupted(Exception):
    """A statement exceeded its time limit."""


class Database:
    """A database in a folder. First `load` the files, then `lock`, then read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "tables.duckdb"
        self._connection = self._open(str(self._path))

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def load(self, path: Path, file_name: str, name: str, *, sheet: str = "") -> Table:
        """Reads a file into a new table. Raises TableError, with a sentence, when it cannot be read."""
        try:
            remarks = self._load(path, file_name, name, sheet)
            columns = self._columns(name)
            [(rows,)] = self.read(f"SELECT count(*) FROM {quoted(name)}")
        except duckdb.OutOfMemoryException as error:
            raise TableError(f"{file_name!r} is too large to be read here. Split it into parts.") from error
        except duckdb.Error as error:
            raise TableError(
                f"{file_name!r} is damaged: its content cannot be read. Save or upload it again."
            ) from error
        if len(columns) > LIMITS.columns:
            raise TableError(
                f"{file_name!r} has {len(columns):,} columns; at most {LIMITS.columns:,} can be read. Keep only those "
                "you need."
            )
        return Table(name=name, file_name=file_name, columns=columns, rows=rows, remarks=tuple(remarks))

    def lock(self) -> None:
        """Allows only reading the tables from now on: no writing, files, network or settings."""
        self._connection.close()
        # Results stay in memory (and spill) in a separate database, so that their names cannot clash with the tables'.
        self._connection = self._open(":memory:")
        self._connection.execute(f"ATTACH {literal(str(self._path))} AS tables (READ_ONLY)")
        self._connection.execute("USE tables")
        self._connection.execute(
            "SET http_proxy = 'none'"
        )  # otherwise it shows the environment's proxy with its password
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def read(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Returns all rows of a statement. Raises duckdb.Error."""
        rows: list[Row] = self._connection.execute(sql, list(values)).fetchall()
        return rows

    def describe(self, sql: str) -> list[Column]:
        """Returns the columns of a statement's result."""
        return [Column(name=row[0], type=row[1]) for row in self.read(f"DESCRIBE {sql}")]

    def batches(self, sql: str, size: int = 10_000) -> Iterator[list[Row]]:
        """Yields the rows of a statement in batches of `size`."""
        cursor = self._connection.execute(sql)
        while rows := cursor.fetchmany(size):
            yield rows

    def statements(self, sql: str) -> list[duckdb.Statement]:
        """Parses the text. Raises duckdb.ParserException."""
        return self._connection.extract_statements(sql)

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Interrupts statements that run longer, raising Interrupted."""
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            self._connection.interrupt()

        timer = threading.Timer(seconds, interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.Error as error:
            if late.is_set():
                raise Interrupted from error
            raise
        finally:
            timer.cancel()

    def _open(self, path: str) -> duckdb.DuckDBPyConnection:
        places = {"temp_directory": str(self._folder / "spill"), "secret_directory": str(self._folder / "secrets")}
        connection = duckdb.connect(path, config={**_CONFIG, **places})
        connection.execute("SET enable_progress_bar = false")  # it would be drawn on the worker's output
        return connection

    def _load(self, path: Path, file_name: str, name: str, sheet: str) -> list[str]:
        kind = kind_of(path, file_name)
        if sheet and kind != "xlsx":
            raise TableError(f"{file_name!r} has no sheets: leave the sheet out.")
        if kind == "parquet":
            self._load_parquet(path, file_name, name)
            return []
        if kind == "csv":
            return delimited.load(self._connection, path, file_name, table=name, folder=self._folder)
        copied = self._folder / f"{name}.sheet.csv"
        remarks = workbook.to_csv(path, file_name, copied, sheet)
        try:
            return remarks + delimited.load(self._connection, copied, file_name, table=name, folder=self._folder)
        finally:
            copied.unlink(missing_ok=True)

    def _load_parquet(self, path: Path, file_name: str, name: str) -> None:
        [(rows,)] = self.read(f"SELECT num_rows FROM parquet_file_metadata({literal(str(path))})")
        if rows > LIMITS.rows:
            raise TableError(f"{file_name!r} has {rows:,} rows; at most {LIMITS.rows:,} can be read.")
        [(columns,)] = self.read(f"SELECT count(*) FROM (DESCRIBE FROM read_parquet({literal(str(path))}))")
        if columns <= LIMITS.columns:  # otherwise an empty table suffices, which `load` then refuses
            self._connection.execute(f"CREATE TABLE {quoted(name)} AS FROM read_parquet(?)", [str(path)])
        else:
            self._connection.execute(f"CREATE TABLE {quoted(name)} AS FROM read_parquet(?) LIMIT 0", [str(path)])

    def _columns(self, name: str) -> tuple[Column, ...]:
        return tuple(self.describe(f"FROM {quoted(name)}"))
