"""The tools that workers offer, inside a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.encoding import from_stored, to_stored
from jobs.models import JSON
from jobs.sql import rows
from jobs.sql.connection import Connection


def remember(connection: Connection, catalogue: Sequence[Mapping[str, JSON]]) -> None:
    """Keep a worker's tools for the time after its end, unless it has none, such as one without tool hosts."""
    if not catalogue:
        return
    connection.execute("DELETE FROM known_tools")
    connection.executemany(
        "INSERT INTO known_tools (name, tool) VALUES (?, ?)", [(tool["name"], to_stored(tool)) for tool in catalogue]
    )


def tools(connection: Connection) -> list[Mapping[str, JSON]]:
    """Returns the tools that workers offer, by name, else those offered last."""
    offered = {
        tool["name"]: tool
        for row in connection.execute("SELECT * FROM workers WHERE stopped = 0 ORDER BY id")
        for tool in rows.worker(row).catalogue
    }
    known = offered.values() or [from_stored(row["tool"]) for row in connection.execute("SELECT tool FROM known_tools")]
    return sorted(known, key=lambda tool: str(tool["name"]))
