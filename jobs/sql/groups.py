"""Transactions on their way to a writing thread, in groups that share a commit."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Sequence
from typing import Any, NamedTuple

from jobs.errors import StoreUnavailable
from jobs.sql.connection import Transaction

ValueOrError = tuple[Any, Exception | None]


class Request(NamedTuple):
    transaction: Transaction[Any]
    done: asyncio.Future[Any] | None
    """None: nobody waits."""


Work = queue.SimpleQueue[Request | None]
"""What waits for the thread; None tells it to end."""


def next_group(work: Work, limit: int, *, within: float | None = None) -> tuple[list[Request], bool]:
    """Wait for a request. Returns it with up to `limit` that wait already, and whether the thread is to end.

    Returns no request when none has come `within` so many seconds.
    """
    group: list[Request] = []
    try:
        item = work.get(timeout=within)
    except queue.Empty:
        return group, False
    while item is not None:
        group.append(item)
        if len(group) == limit:
            return group, False
        try:
            item = work.get_nowait()
        except queue.Empty:
            return group, False
    return group, True


def unavailable(error: Exception) -> StoreUnavailable:
    """Returns the failure that every caller of a group gets when the database fails."""
    failure = StoreUnavailable()
    failure.__cause__ = error
    return failure


def answer(group: Sequence[Request], outcomes: Sequence[ValueOrError]) -> None:
    """Set the waiting futures to their outcomes. Call this on the writing thread."""
    waiting = [
        (request.done, *outcome) for request, outcome in zip(group, outcomes, strict=True) if request.done is not None
    ]
    if waiting:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits any more
            waiting[0][0].get_loop().call_soon_threadsafe(_tell, waiting)


def _tell(waiting: Sequence[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    """Deliver all results of a commit at once: waking the loop costs more than a write."""
    for done, result, refusal in waiting:
        if not done.done():
            done.set_result(result) if refusal is None else done.set_exception(refusal)
