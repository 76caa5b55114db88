"""Checks a user's SELECT with the database's parser, and turns its errors into sentences with their position."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from tools.tables.database import Database
from tools.tables.limits import MEMORY_LIMIT, TableError

# Functions that read files, settings or the machine, or that take SQL as text and so hide it from this check. Most
# would fail in a locked database anyway; the others reveal paths of the machine.
_FORBIDDEN = re.compile(
    r"(read_|duckdb_|pragma_|parquet_|sniff_|json_execute|json_serialize|json_deserialize|which_secret|write_log"
    r"|parse_duckdb|enable_|disable_|(query|glob|current_setting|getenv|force_checkpoint|checkpoint|pg_settings)$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\n+LINE (\d+): (.*)\n( *)(\^+)?", re.DOTALL)
_MAX_SQL = 20_000
_MAX_MESSAGE = 600


@dataclass(frozen=True, kw_only=True)
class Select:
    """A statement that only reads. `inner` is the statement in parentheses, with its lines moved down by one."""

    sql: str

    @property
    def inner(self) -> str:
        return f"(\n{self.sql}\n)"


def check(database: Database, sql: str) -> Select:
    """Returns the statement. Raises TableError unless it is exactly one statement that reads the tables."""
    if len(sql) > _MAX_SQL:
        raise TableError(f"The SQL has {len(sql):,} characters; at most {_MAX_SQL:,} can be run.")
    if "\0" in sql:
        raise TableError("The SQL holds a NUL character. Take it out.")
    try:
        statements = database.statements(sql)
    except duckdb.Error as error:
        raise refusal(error, sql) from error
    if len(statements) != 1:
        raise TableError(f"The SQL holds {len(statements)} statements: write exactly one, a SELECT.")
    [statement] = statements
    if statement.type == duckdb.StatementType.MULTI:
        raise TableError("Name the values of this PIVOT: PIVOT … ON column IN ('a', 'b') USING ….")
    if statement.type != duckdb.StatementType.SELECT:
        what = statement.type.name.replace("_", " ")
        raise TableError(f"The tables can only be read: write a SELECT, WITH, DESCRIBE or SUMMARIZE, not {what}.")
    if statement.named_parameters:
        names = ", ".join(f"${name}" for name in sorted(statement.named_parameters))
        raise TableError(f"The SQL has parameters without values ({names}). Write the values themselves.")
    _check_names(database, sql)
    return Select(sql=_without_end(sql))


def _check_names(database: Database, sql: str) -> None:
    [(text,)] = database.read("SELECT json_serialize_sql(?::VARCHAR)", [sql])
    try:
        tree = json.loads(text)
    except RecursionError as error:
        raise TableError("The SQL is nested too deeply. Write it in steps, using WITH.") from error
    if tree.get("error"):
        raise TableError("The tables can only be read: write a SELECT, WITH, DESCRIBE or SUMMARIZE.")
    for name in _names(tree):
        if _FORBIDDEN.match(name):
            raise TableError(
                f"{name!r} cannot be used here: only the tables can be read, not files, settings or the network."
            )


def _names(tree: Any) -> Iterator[str]:
    """Yields the functions and tables that a parsed statement names. Not recursive, because SQL may nest deeply."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from (str(node[key]) for key in ("function_name", "table_name") if node.get(key))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _without_end(sql: str) -> str:
    """Returns the SQL without its final semicolon and later comments, because it will stand in parentheses."""
    content = sql.encode()  # the positions of tokens are counted in bytes
    end = len(content)
    for place, kind in reversed(duckdb.tokenize(sql)):
        if kind == duckdb.token_type.comment:
            continue
        if kind != duckdb.token_type.operator or content[place : place + 1] != b";":
            break
        end = place
    return content[:end].decode()


def refusal(error: duckdb.Error, sql: str, *, tables: Iterable[str] = (), moved: int = 0) -> TableError:
    """Returns the error as a sentence with line, column and a caret. `moved`: how many lines the SQL was moved down."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return TableError(
            f"The query needs more than {MEMORY_LIMIT.replace('MB', ' MB')} of memory. Filter or group earlier, or ask "
            "for fewer columns."
        )
    if isinstance(error, duckdb.PermissionException):
        return TableError("Only the tables can be read, not files, settings or the network.")
    if isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return TableError("The database failed on this SQL. Write it in another way.")
    text = str(error)
    place = _PLACE.search(text)
    message = " ".join((text[: place.start()] if place else text).split())[:_MAX_MESSAGE]
    message = re.sub(r"^[A-Z][\w-]*(?: [\w-]+)? Error: ", "", message)
    message = re.sub(r' Use "SET .*', "", message)  # settings are locked
    sentence = f"The SQL cannot be run: {message.rstrip(' .!?')}"
    if isinstance(error, duckdb.CatalogException) and (names := list(tables)):
        sentence += f". The tables are {', '.join(names[:50])}"
    return TableError(sentence + _shown(place, sql, moved))


def _shown(place: "re.Match[str] | None", sql: str, moved: int) -> str:
    """Returns the line of the SQL and a caret under the column."""
    lines = sql.splitlines()
    number = int(place[1]) - moved if place else 0
    if place is None or not place[4] or not 1 <= number <= len(lines):
        return "."
    # The database shows a part of a long line, with dots at the cuts: find where that part begins.
    shown = place[2].removeprefix("...")
    offset = len(place[3]) - len(f"LINE {place[1]}: ") - (len(place[2]) - len(shown))
    start = max(0, lines[number - 1].find(shown.removesuffix("...")))
    part = shown.removesuffix("...")
    return f" (line {number}, column {start + offset + 1}).\n\n    {part}\n    {' ' * offset}^"
