"""Estimates: how long a tool call will still run, and when a waiting job will start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from jobs.events import Progress

MIN_RUNS = 5
"""An estimate needs at least so many."""
MAX_RUNS = 50
"""Of each tool, the newest are kept."""
_STALLED = 3.0
_MIN_STALLED_SECONDS = 10.0
_OWN_SECONDS = 1.0
"""A call is measured for this long before its own speed counts."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A tool call that has finished, or a whole job."""

    name: str
    unit: str
    """The word after the total in its reports, such as `rows`; empty if there is none."""
    unit_seconds: float | None
    """Seconds for one unit; None if it reported no total."""
    silence_seconds: float
    """The longest time without a report."""


def unit_of(report: Progress) -> str:
    """Returns the word after the total in a report such as `12 of 300 rows, 900 tokens`."""
    found = re.search(rf"\bof {report.total:,g} (\w+)", report.message) if report.total else None
    return found[1] if found else ""


Range = tuple[float, float]
"""Seconds: the median, and the time that nine of ten stay below."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A job that has not ended, as the queue counts it."""

    id: str
    task: str
    thread_id: str | None
    started_at: float | None
    """None while it waits."""


def run_of_job(task: str, seconds: float) -> Run:
    """Returns a whole job as a run: its time in one piece."""
    return Run(name=_job_name(task), unit="", unit_seconds=seconds, silence_seconds=0.0)


def _job_name(task: str) -> str:
    return f"job {task}"  # the names of tools have no spaces


def starts_in(line: Sequence[Place], past: Mapping[str, Sequence[Run]], now: float) -> dict[str, Range]:
    """Returns how long the waiting jobs of the line may still wait: those that run come first, then the queue's order.

    past: how such jobs went before, by `names_in`. A turn waits for those before it in its thread, any other job for
    its share of all work before it. Missing are jobs behind one that takes longer than nine of ten did, or of a kind
    that fewer than five runs are known of.
    """
    usual = {name: _usual(runs) for name, runs in past.items()}
    lanes = max(1, sum(place.started_at is not None for place in line))
    whole: Range | None = (0.0, 0.0)
    threads: dict[str, Range | None] = {}
    found: dict[str, Range] = {}
    for place in line:
        thread = place.thread_id or place.id
        wait = threads[thread] if thread in threads else whole and (whole[0] / lanes, whole[1] / lanes)
        if place.started_at is None and wait is not None:
            found[place.id] = round(wait[0], 1), round(wait[1], 1)
        takes = usual.get(_job_name(place.task))
        if place.started_at is None:
            threads[thread] = _sum(wait, takes)
        else:
            takes = _rest(takes, max(0.0, now - place.started_at))  # a clock may be set back
            threads[thread] = _sum(threads.get(thread, (0.0, 0.0)), takes)
        whole = _sum(whole, takes)
    return found


def _rest(takes: Range | None, passed: float) -> Range | None:
    """Returns how much longer a running job takes; None for one that takes longer than it should."""
    if takes is None or passed > takes[1]:
        return None
    return max(0.0, takes[0] - passed), takes[1] - passed


def names_in(line: Sequence[Place]) -> set[str]:
    """Returns the names of the runs that `starts_in` needs."""
    return {_job_name(place.task) for place in line}


def _usual(runs: Sequence[Run]) -> Range | None:
    seconds = [run.unit_seconds for run in runs if run.unit_seconds is not None]
    if len(seconds) < MIN_RUNS:
        return None
    tenths = quantiles(seconds, n=10, method="inclusive")
    return tenths[4], tenths[8]


def _sum(one: Range | None, other: Range | None) -> Range | None:
    return None if one is None or other is None else (one[0] + other[0], one[1] + other[1])


def usual_silence(past: Sequence[Run]) -> float | None:
    """Returns the 95th percentile of the longest silences, in seconds; None with too few runs."""
    if len(past) < MIN_RUNS:
        return None
    return quantiles([run.silence_seconds for run in past], n=20, method="inclusive")[-1]


def stalled_after(silence: float) -> float:
    """Returns after how many silent seconds a call is stalled, when such calls are silent for so long at most."""
    return max(_MIN_STALLED_SECONDS, _STALLED * silence)


def first_stalled(paces: Iterable[Pace], at: float) -> float | None:
    """Returns in how many seconds the first of these calls is stalled, if none of them says anything; None if that is
    not known of any. Each is judged by its own kind: one that talks does not speak for another that hangs."""
    known = [seconds for pace in paces if (seconds := pace.stalled_in(at)) is not None]
    return min(known, default=None)


@dataclass(frozen=True, kw_only=True)
class _Told:
    at: float
    low: float
    high: float
    speed: float
    total: float


class Pace:
    """One running call. Feed it each report; times are in seconds on any clock."""

    def __init__(self, name: str, past: Sequence[Run], at: float) -> None:
        self._name = name
        self._past = past
        self._usual_silence = usual_silence(past)
        self._heard_at = at
        self._waits = False  # waiting for something outside does not count as silence
        self._silence = 0.0
        self._first: tuple[float, float] | None = None  # done, and when: a resumed call begins with what was kept
        self._last: Progress | None = None
        self._told: _Told | None = None

    def begun_at(self, at: float) -> Pace:
        """Returns the pace of the same call, if it begins only now."""
        return Pace(self._name, self._past, at)

    def hear(self, at: float, *, waits: bool = False) -> None:
        """Take any sign of life; `waits` if it is that the call waits for something outside."""
        self._silence = max(self._silence, at - self._heard_at)
        self._heard_at = at
        self._waits = waits

    def stalled_in(self, at: float) -> float | None:
        """Returns in how many seconds the call is stalled, if it says nothing until then: 0 if it is.

        None if too little is known of such calls, and for one that waits.
        """
        if self._usual_silence is None or self._waits:
            return None
        return max(0.0, self._heard_at + stalled_after(self._usual_silence) - at)

    def left(self, report: Progress, at: float) -> tuple[float, float] | None:
        """Returns the seconds that the call may still take: the median, and what nine of ten calls stay below.

        The range becomes longer only when the call has become slower, or has found more to do.
        """
        self.hear(at)
        self._last = report
        if report.total is None:
            return None
        self._first = self._first or (report.done, at)
        usual = _usual([run for run in self._past if run.unit == unit_of(report)])
        if usual is None:
            return None
        median, ninth = usual
        speed = self._speed(report.done, at) or median
        rest = max(0.0, report.total - report.done)
        low = rest * speed
        high = low * (ninth / median if median > 0 else 1.0)
        before = self._told
        if before is not None and speed <= before.speed and report.total <= before.total:
            low = min(low, max(0.0, before.low - (at - before.at)))
            high = min(high, max(0.0, before.high - (at - before.at)))
        self._told = _Told(at=at, low=low, high=high, speed=speed, total=report.total)
        return round(low, 1), round(high, 1)

    def run(self, at: float) -> Run:
        """Returns the call as a run, at its end. Its last report may have come before its last unit."""
        self.hear(at)
        unit, unit_seconds = "", None
        if (last := self._last) is not None:
            unit = unit_of(last)
            if last.total and last.done >= last.total / 2:
                unit_seconds = self._speed(last.total, at, least=0.0)
        return Run(name=self._name, unit=unit, unit_seconds=unit_seconds, silence_seconds=round(self._silence, 3))

    def _speed(self, done: float, at: float, least: float = _OWN_SECONDS) -> float | None:
        """Returns the seconds for one unit; None before there is enough to measure."""
        if self._first is None or done <= self._first[0] or at - self._first[1] < least:
            return None
        return (at - self._first[1]) / (done - self._first[0])
