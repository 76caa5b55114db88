"""The report of one part of the benchmarks: printed, saved, and read again for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Row, table


@dataclass(frozen=True, kw_only=True)
class Report:
    """All values of all runs of a part, and their circumstances."""

    part: str
    ours: str
    """The name of the measured app in the table."""
    peer: str
    machine: Mapping[str, Any]
    load_average_before: float
    ran_with: Mapping[str, Any]
    """How Longhaul ran: its workers, and the slots of each."""
    conditions: Mapping[str, Any] | None
    """What the load generator, the endpoint and others used meanwhile; None without such a load."""
    pairs: int
    rows: Sequence[Row]

    def table(self) -> str:
        return table(self.rows, self.ours, self.peer)

    def facts(self) -> dict[str, object]:
        """Returns everything except the figures."""
        facts: dict[str, object] = {
            "machine": dict(self.machine),
            "load_average_before": self.load_average_before,
            "ran_with": dict(self.ran_with),
            "conditions": self.conditions,
            "pairs": self.pairs,
        }
        return {name: fact for name, fact in facts.items() if fact}

    def save(self, folder: Path) -> None:
        """Writes the report to `<part>.json`."""
        names = {"part": self.part, "ours": self.ours, "peer": self.peer}
        content = names | self.facts() | {"rows": [row.as_json() for row in self.rows]}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.part}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Report:
    saved = json.loads(path.read_text(encoding="utf-8"))
    return Report(
        part=saved["part"],
        ours=saved["ours"],
        peer=saved["peer"],
        machine=saved["machine"],
        load_average_before=saved.get("load_average_before", 0.0),
        ran_with=saved.get("ran_with", {}),
        conditions=saved.get("conditions"),
        pairs=saved["pairs"],
        rows=[Row.from_json(row) for row in saved["rows"]],
    )
