"""Appends of events behind the fences of their jobs, in a few statements for all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jobs.encoding import storable
from jobs.errors import EpochStale, JobNotFound, LogBehind
from jobs.events import TERMINAL, Entry, Payload
from jobs.models import ACTIVE, TRANSITIONS, JobStatus
from jobs.sql import inbox, rows
from jobs.sql.connection import Connection

REFUSALS = (EpochStale, JobNotFound, LogBehind, ValueError)
EventRow = tuple[str, int, int, str, str, float]
"""job_id, seq, epoch, type, data, at."""


class Append(NamedTuple):
    """Events that the holder of an epoch writes after seq `after`."""

    job_id: str
    epoch: int
    after: int
    entries: Sequence[Entry]
    at: float
    taken: Sequence[int] = ()
    """Numbers of the inbox messages that these events replace."""
    answer: str | None = None
    """The text by which the search finds a job that ends here; None leaves it to `settle`, which reads the log."""


class Appended(NamedTuple):
    last_seq: int
    ended: bool


def append(
    connection: Connection,
    job_id: str,
    payloads: Sequence[Payload],
    at: float,
    *,
    epoch: int,
    after: int,
    answer: str | None = None,
) -> None:
    """Write behind seq `after`, which this transaction has read."""
    entries = [payload.entry() for payload in payloads]
    [outcome] = append_all(connection, [Append(job_id, epoch, after, entries, at, answer=answer)])
    if isinstance(outcome, Exception):
        raise outcome


def append_all(connection: Connection, appends: Sequence[Append]) -> list[Appended | Exception]:
    """Write each append behind its job's fence, in a few statements for all. A refused append writes nothing."""
    heads = _heads(connection, {one.job_id for one in appends})
    events: list[EventRow] = []
    outcomes: list[Appended | Exception] = []
    for one in appends:
        try:
            outcomes.append(_add_rows(connection, heads, one, events))
        except REFUSALS as refusal:  # a refused append does not affect the others
            outcomes.append(refusal)
    _insert(connection, events)
    inbox.remove(connection, [number for one, outcome in zip(appends, outcomes, strict=True)
                              if isinstance(outcome, Appended) for number in one.taken])  # fmt: skip
    _mark_first_text(connection, heads.values())
    _clear_deaths(connection, heads.values())
    for head in heads.values():
        if head.ended is not None:
            _end(connection, head)
    return outcomes


@dataclass(kw_only=True)
class _Head:
    """The end of a job's log, and its values for the job's row."""

    job_id: str
    epoch: int
    last_seq: int
    status: JobStatus
    ended: JobStatus | None = None
    """Set by a terminal event, after which nothing can be written."""
    answer: str | None = None
    written_at: float = 0.0
    spoken_at: float | None = None
    """When the first text came, if it came now."""
    silent: bool = True
    """Whether no text came before."""
    deaths: int = 0
    """The workers that died under the job since it last finished a step."""
    cleared: bool = False
    """Whether it has finished one now."""

    def take(self, append: Append) -> list[EventRow]:
        """Returns the rows of the append's events. Raises and changes nothing when the append is refused."""
        if self.ended or self.status not in ACTIVE:
            raise EpochStale(self.job_id)
        if append.after > self.last_seq:
            raise LogBehind(self.job_id, append.after, self.last_seq)
        ended = next((TERMINAL[one.type] for one in append.entries if one.type in TERMINAL), None)
        if ended is not None and ended not in TRANSITIONS[self.status]:
            raise ValueError(f"a job cannot go from {self.status} to {ended}")
        events = [
            (self.job_id, seq, self.epoch, one.type, one.data, append.at)
            for seq, one in enumerate(append.entries, self.last_seq + 1)
        ]
        self.last_seq += len(events)
        self.ended, self.answer, self.written_at = ended, append.answer, append.at
        if self.silent and any(one.type == "text.delta" for one in append.entries):
            self.spoken_at, self.silent = append.at, False
        if self.deaths and any(one.type == "step.finished" for one in append.entries):
            self.deaths, self.cleared = 0, True
        return events


def _add_rows(connection: Connection, heads: dict[str, _Head], one: Append, events: list[EventRow]) -> Appended:
    """Add the append's rows to `events`, unless they are in the log already."""
    if (head := heads.get(one.job_id)) is None:
        raise JobNotFound(one.job_id)
    if one.epoch != head.epoch:
        raise EpochStale(one.job_id)
    if one.after < head.last_seq:
        _insert(connection, events)
        return _written_before(connection, one)
    events += head.take(one)
    return Appended(last_seq=head.last_seq, ended=head.ended is not None)


def _written_before(connection: Connection, one: Append) -> Appended:
    """Accept an append that is sent again because the reply was lost. Other events at its seq mean a foreign sender."""
    sql = "SELECT type, data FROM job_events WHERE job_id = ? AND epoch = ? AND seq > ? ORDER BY seq LIMIT ?"
    there = connection.execute(sql, [one.job_id, one.epoch, one.after, len(one.entries)])
    if [tuple(row) for row in there] != list(one.entries):
        raise EpochStale(one.job_id)
    return Appended(last_seq=one.after + len(one.entries), ended=False)  # its end, if it has one, was announced before


def _insert(connection: Connection, events: list[EventRow]) -> None:
    connection.executemany(
        "INSERT INTO job_events (job_id, seq, epoch, type, data, at) VALUES (?, ?, ?, ?, ?, ?)", events
    )
    events.clear()


def _mark_first_text(connection: Connection, heads: Iterable[_Head]) -> None:
    spoken = [(head.spoken_at, head.job_id) for head in heads if head.spoken_at is not None]
    connection.executemany("UPDATE jobs SET first_text_at = ? WHERE id = ?", spoken)


def _clear_deaths(connection: Connection, heads: Iterable[_Head]) -> None:
    cleared = [(head.job_id,) for head in heads if head.cleared]
    connection.executemany("UPDATE jobs SET deaths = 0 WHERE id = ?", cleared)


def _heads(connection: Connection, job_ids: Collection[str]) -> dict[str, _Head]:
    connection.lock_jobs(job_ids)
    columns = f"id, epoch, {rows.LENGTH}, status, first_text_at IS NULL, deaths"
    sql = f"SELECT {columns} FROM jobs WHERE id IN ({rows.placeholders(job_ids)})"
    return {
        row[0]: _Head(
            job_id=row[0],
            epoch=row[1],
            last_seq=row[2],
            status=JobStatus(row[3]),
            silent=bool(row[4]),
            deaths=row[5],
        )
        for row in connection.execute(sql, [*job_ids])
    }


def _end(connection: Connection, head: _Head) -> None:
    sql = "UPDATE jobs SET status = ?, finished_at = ?, last_seq = ? WHERE id = ?"
    connection.execute(sql, [head.ended, head.written_at, head.last_seq, head.job_id])
    if head.answer is not None:
        keep_answer(connection, head.job_id, head.answer)
    inbox.clear(connection, head.job_id)


def keep_answer(connection: Connection, job_id: str, answer: str) -> None:
    """Store the answer for the search."""
    connection.execute("UPDATE jobs SET answer = ? WHERE id = ?", [storable(answer), job_id])
