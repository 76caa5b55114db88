"""One SELECT of a stranger: checked by the database's own parser, and its errors told as sentences with their place."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from tools.tables.database import Database
from tools.tables.limits import MEMORY_LIMIT, TableError

# What reads files, settings or the machine, or takes SQL as text and so hides it from this check. Most of it would
# fail in a locked database anyway; what would not shows where on the machine things lie.
_FORBIDDEN = re.compile(
    r"(read_|duckdb_|pragma_|parquet_|sniff_|json_execute|json_serialize|json_deserialize|which_secret|write_log"
    r"|parse_duckdb|enable_|disable_|(query|glob|current_setting|getenv|force_checkpoint|checkpoint|pg_settings)$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\n+LINE (\d+): (.*)\n( *)(\^+)?", re.DOTALL)
_LONGEST_SQL = 20_000
_LONGEST_MESSAGE = 600


@dataclass(frozen=True, kw_only=True)
class Select:
    """A statement that reads, and nothing else. `inner` puts it in parentheses, its lines moved down by one."""

    sql: str

    @property
    def inner(self) -> str:
        return f"(\n{self.sql}\n)"


def check(database: Database, sql: str) -> Select:
    """Raises TableError for what is not exactly one statement that reads the tables."""
    if len(sql) > _LONGEST_SQL:
        raise TableError(f"The SQL has {len(sql):,} characters; at most {_LONGEST_SQL:,} can be run.")
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
        raise TableError("The SQL is nested too deep. Write it in steps, by WITH.") from error
    if tree.get("error"):
        raise TableError("The tables can only be read: write a SELECT, WITH, DESCRIBE or SUMMARIZE.")
    for name in _names(tree):
        if _FORBIDDEN.match(name):
            raise TableError(
                f"{name!r} cannot be used here: files, settings and the network are out of reach, only the tables "
                "can be read."
            )


def _names(tree: Any) -> Iterator[str]:
    """The functions and tables that a parsed statement names. Without recursion: SQL may be nested deep."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from (str(node[key]) for key in ("function_name", "table_name") if node.get(key))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _without_end(sql: str) -> str:
    """Without the semicolon at its end and what follows: the statement is to stand in parentheses."""
    content = sql.encode()  # the tokens' places are counted in bytes
    end = len(content)
    for place, kind in reversed(duckdb.tokenize(sql)):
        if kind == duckdb.token_type.comment:
            continue
        if kind != duckdb.token_type.operator or content[place : place + 1] != b";":
            break
        end = place
    return content[:end].decode()


def refusal(error: duckdb.Error, sql: str, *, tables: Iterable[str] = (), moved: int = 0) -> TableError:
    """The error as a sentence, with line, column and a caret below it. `moved`: lines the SQL was moved down by."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return TableError(
            f"The query needs more than {MEMORY_LIMIT.replace('MB', ' MB')} of memory. Filter or group earlier, or ask "
            "for fewer columns."
        )
    if isinstance(error, duckdb.PermissionException):
        return TableError("Files, settings and the network are out of reach: only the tables can be read.")
    if isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return TableError("The database gave up on this SQL. Write it in another way.")
    text = str(error)
    place = _PLACE.search(text)
    message = " ".join((text[: place.start()] if place else text).split())[:_LONGEST_MESSAGE]
    message = re.sub(r"^[A-Z][\w-]*(?: [\w-]+)? Error: ", "", message)
    message = re.sub(r' Use "SET .*', "", message)  # settings are locked
    sentence = f"The SQL cannot be run: {message.rstrip(' .!?')}"
    if isinstance(error, duckdb.CatalogException) and (names := list(tables)):
        sentence += f". The tables are {', '.join(names[:50])}"
    return TableError(sentence + _shown(place, sql, moved))


def _shown(place: "re.Match[str] | None", sql: str, moved: int) -> str:
    """Where it is: the line of the SQL, and a caret under the column."""
    lines = sql.splitlines()
    number = int(place[1]) - moved if place else 0
    if place is None or not place[4] or not 1 <= number <= len(lines):
        return "."
    # The database shows a long line in part, with dots where it cuts: look up where that part stands.
    shown = place[2].removeprefix("...")
    offset = len(place[3]) - len(f"LINE {place[1]}: ") - (len(place[2]) - len(shown))
    start = max(0, lines[number - 1].find(shown.removesuffix("...")))
    part = shown.removesuffix("...")
    return f" (line {number}, column {start + offset + 1}).\n\n    {part}\n    {' ' * offset}^"
