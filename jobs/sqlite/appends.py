"""Appends: events written behind the fence of their jobs, however many in a few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jobs.answer import answer_text
from jobs.errors import EpochStale, JobNotFound
from jobs.events import TERMINAL, Payload
from jobs.models import JSON, TRANSITIONS, JobStatus
from jobs.sqlite import rows


@dataclass(frozen=True, kw_only=True)
class Append:
    """Events that the holder of an epoch writes."""

    job_id: str
    epoch: int
    payloads: Sequence[Payload]
    at: float


@dataclass(frozen=True, kw_only=True)
class Appended:
    last_seq: int
    ended: bool


def append(connection: sqlite3.Connection, job_id: str, epoch: int, payloads: Sequence[Payload], at: float) -> None:
    """Write behind the fence."""
    one = Append(job_id=job_id, epoch=epoch, payloads=payloads, at=at)
    [outcome] = append_all(connection, [one])
    if isinstance(outcome, Exception):
        raise outcome


def append_all(connection: sqlite3.Connection, appends: Sequence[Append]) -> list[Appended | Exception]:
    """Write each behind its job's fence, in a few statements for all. What is refused has written nothing."""
    heads = _heads(connection, {one.job_id for one in appends})
    outcomes: list[Appended | Exception] = []
    events: list[tuple[JSON, ...]] = []
    for one in appends:
        if (head := heads.get(one.job_id)) is None:
            outcomes.append(JobNotFound(one.job_id))
            continue
        try:
            events += head.take(one)
        except Exception as refusal:  # noqa: BLE001  # its own affair: nothing of it is written, the others are
            outcomes.append(refusal)
        else:
            outcomes.append(Appended(last_seq=head.last_seq, ended=head.ended is not None))
    connection.executemany(
        "INSERT INTO job_events (job_id, seq, epoch, type, data, at) VALUES (?, ?, ?, ?, ?, ?)", events
    )
    written = [head for head in heads.values() if head.written_at is not None]
    connection.executemany(
        "UPDATE jobs SET last_seq = ?, first_text_at = coalesce(first_text_at, ?) WHERE id = ?",
        [(head.last_seq, head.spoken_at, head.job_id) for head in written],
    )
    for head in written:
        if head.ended is not None:
            _end(connection, head)
    return outcomes


@dataclass(kw_only=True)
class _Head:
    """Where a job's log stands."""

    job_id: str
    epoch: int
    last_seq: int
    status: JobStatus
    ended: JobStatus | None = None
    """Set by a terminal event, behind which nothing can be written."""
    written_at: float | None = None
    spoken_at: float | None = None

    def take(self, append: Append) -> list[tuple[JSON, ...]]:
        """The rows of the events; all or none."""
        if append.epoch != self.epoch or self.ended or self.status not in (JobStatus.QUEUED, JobStatus.IN_PROGRESS):
            raise EpochStale(self.job_id)
        ended = next((TERMINAL[one.type] for one in append.payloads if one.type in TERMINAL), None)
        if ended is not None and ended not in TRANSITIONS[self.status]:
            raise ValueError(f"a job cannot go from {self.status} to {ended}")
        events = [
            (self.job_id, seq, self.epoch, one.type, rows.encode(one.data()), append.at)
            for seq, one in enumerate(append.payloads, self.last_seq + 1)
        ]
        self.last_seq += len(events)
        self.ended, self.written_at = ended, append.at
        if self.spoken_at is None and any(one.type == "text.delta" for one in append.payloads):
            self.spoken_at = append.at
        return events


def _heads(connection: sqlite3.Connection, job_ids: Collection[str]) -> dict[str, _Head]:
    sql = f"SELECT id, epoch, last_seq, status FROM jobs WHERE id IN ({rows.places(job_ids)})"
    return {
        row[0]: _Head(job_id=row[0], epoch=row[1], last_seq=row[2], status=JobStatus(row[3]))
        for row in connection.execute(sql, [*job_ids])
    }


def _end(connection: sqlite3.Connection, head: _Head) -> None:
    log = connection.execute("SELECT * FROM job_events WHERE job_id = ? ORDER BY seq", [head.job_id])
    answer = answer_text([rows.event(row) for row in log])
    sql = "UPDATE jobs SET status = ?, finished_at = ?, answer = ? WHERE id = ?"
    storable = answer.encode("utf-8", "replace").decode()
    connection.execute(sql, [head.ended, head.written_at, storable, head.job_id])
