"""One browser session's view of its thread: follows every turn and keeps the page in step with the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Set
from typing import Any

from chainlit.session import WebsocketSession

from background import cancel_and_wait, keep_running
from handlers.actions import retry_action
from handlers.changes import AddText, Change, Remove, Show, StepDict, Upsert
from handlers.render import TurnScreen
from handlers.sockets import is_connected, send
from handlers.turns import Turns
from handlers.words import iso
from jobs import Job, JobClient, JobNotFound, Thread, ThreadNotFound
from jobs.client import UNSERVED_SECONDS

LIVE = "longhaul"
"""Our own event of the page's socket (`public/live.js`), with the server's time as `now`: `running`, the turns that
have not ended; `job`, one of them as far as it has changed; or `gone`, a deleted thread. Chainlit's `element` would
draw the card again, and parse the thread's Markdown."""
TELL_SECONDS = 0.25


def thread_dict(thread: Thread, turns: list[TurnScreen]) -> dict[str, Any]:
    """Returns a thread in Chainlit's format. `turns` must be in order."""
    return {
        "id": thread.id,
        "createdAt": iso(thread.created_at),
        "name": thread.title,
        "userId": thread.owner,
        "userIdentifier": thread.owner,
        "tags": [],
        "metadata": {},
        "steps": [step for turn in turns for step in turn.steps()],
        "elements": [element for turn in turns for element in turn.elements()],
    }


class ThreadView:
    """Lives as long as the page's socket; a page that reconnects is brought up to date.

    The page normally receives only changes that follow from the log. When they may not suffice (the socket was lost,
    turns arrived in another order, a retry replaced a turn), the page receives the whole thread again.
    """

    def __init__(self, session: WebsocketSession, jobs: JobClient, turns: Turns) -> None:
        self._session = session
        self._jobs = jobs
        self._open = turns
        self._turns: dict[str, TurnScreen] = {}  # by root job
        self._following: dict[str, asyncio.Task[None]] = {}  # by job
        self._watching: asyncio.Task[None] | None = None
        self._said: set[str] = set()  # messages that this page shows and whose turns are not followed yet
        self._life = asyncio.Lock()  # loading, showing and following as one: two reconnects must not interleave
        self._page = asyncio.Lock()  # one writer: changes of several turns must not interleave with a refresh
        self._telling: dict[str, asyncio.TimerHandle] = {}  # by root job: cards that are sent soon
        self._told_at: dict[str, float] = {}
        self._running: list[str] | None = None  # the jobs that were sent to the page
        self._unsure = False
        self.loaded = False
        """`load` returned the thread and following has not started: the page is about to show it."""

    @property
    def thread_id(self) -> str:
        return str(self._session.thread_id)

    @property
    def active(self) -> list[str]:
        """The jobs that Stop cancels."""
        return [turn.job_id for turn in self._turns.values() if turn.ended is None]

    def says(self, message_id: str) -> None:
        """Call this before the message is submitted: its turn may come back before that returns."""
        self._said.add(message_id)

    async def start(self) -> None:
        """Follows the thread after a message was submitted on this page, which shows it already."""
        async with self._life:
            if not self.loaded:
                self._begin()

    async def close(self) -> None:
        for timer in self._telling.values():
            timer.cancel()
        self._telling.clear()
        tasks = [task for task in (self._watching, *self._following.values()) if task is not None]
        self._watching = None
        self._following.clear()
        await cancel_and_wait(*tasks)

    async def load(self) -> dict[str, Any]:
        """Stops following and returns the thread's current state, from which `connected` continues."""
        async with self._life:
            return await self._load()

    async def connected(self) -> None:
        """Continues when the page connects; sends the whole thread unless `load` has just returned it."""
        async with self._life:
            if not self.loaded:
                try:
                    self._emit("resume_thread", await self._load())
                except ThreadNotFound:
                    return  # a conversation without messages
            self.loaded = False
            self._running = None
            for turn in self._turns.values():
                self._offer_actions(turn)
            self.show_running()
            self._begin()

    async def _load(self) -> dict[str, Any]:
        await self.close()
        thread = await self._jobs.thread(self.thread_id, self._user)
        self._turns = {turn.root_id: turn for turn in await self._open.of_thread(self.thread_id)}
        self.loaded, self._unsure = True, False
        return thread_dict(thread, self._in_order())

    def _begin(self) -> None:
        if not is_connected(self._session):
            return  # it has disconnected, so this would never be closed
        if self._watching is None or self._watching.done():
            watching = keep_running(self._watch, name="thread view")
            self._watching = asyncio.create_task(watching, name=f"view {self.thread_id}")

    def show_running(self) -> None:
        """Sends the page the turns that have not ended: its dock shows them, and Stop."""
        if self._running != (running := self.active):
            self._running = running
            cards = [turn.card.snapshot() for turn in self._in_order() if turn.ended is None]
            self._emit(LIVE, {"now": time.time(), "thread_id": self.thread_id, "running": cards})

    def _tell(self, turn: TurnScreen) -> None:
        """Sends the turn's state to the page: at once at its end, else at most four times a second."""
        now = asyncio.get_running_loop().time()
        wait = self._told_at.get(turn.root_id, 0.0) + TELL_SECONDS - now
        if turn.ended is None and wait > 0:
            if turn.root_id not in self._telling:
                timer = asyncio.get_running_loop().call_later(wait, self._tell_now, turn)
                self._telling[turn.root_id] = timer
        else:
            self._tell_now(turn)

    def _tell_now(self, turn: TurnScreen) -> None:
        if (timer := self._telling.pop(turn.root_id, None)) is not None:
            timer.cancel()
        if turn.card_changed:
            turn.card_changed = False
            self._told_at[turn.root_id] = asyncio.get_running_loop().time()
            self._emit(LIVE, {"now": time.time(), "job": turn.card.update()})

    async def _watch(self) -> bool:
        async for jobs in self._jobs.follow_thread(self.thread_id, self._user):
            await self._drop({job.root_id for job in jobs})
            for job in jobs:  # first: one that acts instead of another moves those that wait
                if (known := self._turns.get(job.root_id)) is not None:
                    known.turn = job.turn
            for job in jobs:
                if job.id not in self._following and not self._shows_end_of(job):
                    await self._join(job)
        self._turns.clear()
        self._emit("toast", {"message": "This conversation was deleted.", "type": "info"})
        self._emit(LIVE, {"now": time.time(), "gone": self.thread_id})
        return True

    async def _drop(self, left: Set[str]) -> None:
        """Takes turns off the page whose jobs were deleted."""
        gone = self._turns.keys() - left
        if gone:
            async with self._page:
                for root_id in gone:
                    del self._turns[root_id]
                await self._refresh()
                self.show_running()

    def _shows_end_of(self, job: Job) -> bool:
        turn = self._turns.get(job.root_id)
        return turn is not None and turn.job_id == job.id and turn.ended is not None

    async def _join(self, job: Job) -> None:
        """Adds a turn that the page does not follow yet: a new one, one that runs during a reload, or a retry."""
        known = self._turns.get(job.root_id)
        if known is None or known.job_id != job.id:
            # An ended job, such as a command's draft, is shown whole, because nothing follows it.
            turn = await (self._open.open(job) if job.ended else self._open.begin(job))
            async with self._page:
                self._turns[job.root_id] = turn
                if known is not None:
                    self._withdraw_actions(known)
                if known is not None or self._misplaced(turn):
                    await self._refresh()
                else:
                    self._show([Upsert(step) for step in turn.steps()])
                    self._show([Show(element) for element in turn.elements()])
                self._offer_actions(turn)
                self.show_running()
        turn = self._turns[job.root_id]
        if turn.ended is None:
            self._own(job.id, keep_running(lambda: self._follow(turn), name="turn view"))
            self._own(f"{job.id} served", keep_running(lambda: self._ask_for_worker(job, turn), name="turn's worker"))

    def _misplaced(self, turn: TurnScreen) -> bool:
        """Returns whether the turn may not be last: another one is later, or may precede this page's own message."""
        others = [other for other in self._turns.values() if other is not turn]
        said_here = turn.message_id in self._said
        self._said.discard(turn.message_id)
        return any(other.turn > turn.turn or (said_here and other.ended is None) for other in others)

    def _own(self, job_id: str, following: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(following, name=f"follow {job_id}")
        self._following[job_id] = task
        task.add_done_callback(lambda done: self._following.pop(job_id, None) if done is task else None)

    async def _follow(self, turn: TurnScreen) -> bool:
        """Follows the turn to its end. After a failure sends the thread again: the page may have missed changes."""
        try:
            if self._unsure:
                await self._refresh()
            async for batch in self._jobs.follow(turn.job_id, self._user, turn.seq):
                async with self._page:
                    self._unsure = True
                    self._show(turn.feed(batch))
                    if turn.card_changed:
                        self._tell(turn)
                    if turn.ended is not None:
                        self._offer_actions(turn)
                        self.show_running()
                    self._unsure = False
        except (JobNotFound, ThreadNotFound):
            pass  # deleted; `_watch` informs the page
        return True

    async def _ask_for_worker(self, job: Job, turn: TurnScreen) -> bool:
        """Shows on the card of a waiting turn when no running worker has its task."""
        wait = job.created_at - time.time()
        while turn.card.state == "queued" and self._turns.get(turn.root_id) is turn:
            await asyncio.sleep(max(0.0, wait) + UNSERVED_SECONDS)
            wait = 0.0
            unserved = bool(await self._jobs.unserved([job]))
            async with self._page:
                self._show(turn.note_unserved(unserved, job.created_at))
                if turn.card_changed:
                    self._tell(turn)
        return True

    async def _refresh(self) -> None:
        thread = await self._jobs.thread(self.thread_id, self._user)
        self._emit("resume_thread", thread_dict(thread, self._in_order()))

    def _show(self, changes: list[Change]) -> None:
        for change in changes:
            match change:
                case Upsert(step):
                    self._emit(*upsert(step))
                case AddText(step_id, text):
                    token = {"id": step_id, "token": text, "isSequence": False, "isInput": False}
                    self._emit("stream_token", token)
                case Remove(step_id):
                    self._emit("delete_message", {"id": step_id})
                case Show(element):
                    self._emit("element", element)

    def _offer_actions(self, turn: TurnScreen) -> None:
        if turn.ended is not None and turn.ended.type != "job.completed" and not turn.form_is_open:
            for action in actions_of(turn):
                self._emit("remove_action", action)  # otherwise the page would show it twice
                self._emit("action", action)

    def _withdraw_actions(self, turn: TurnScreen) -> None:
        for action in actions_of(turn):
            self._emit("remove_action", action)

    def _in_order(self) -> list[TurnScreen]:
        return sorted(self._turns.values(), key=lambda turn: turn.turn)

    @property
    def _user(self) -> str:
        return str(self._session.user.identifier) if self._session.user else ""

    def _emit(self, event: str, data: Any) -> None:
        send(self._session, event, data)


def actions_of(turn: TurnScreen) -> list[dict[str, Any]]:
    """Returns the buttons under a turn that ended without completing. A card has its own Retry."""
    return [] if turn.card.wanted else [retry_action(turn.job_id, for_id=turn.end_id)]


def upsert(step: StepDict) -> tuple[str, StepDict]:
    """Returns Chainlit's event for a new step, or for changed fields of a step that the page has."""
    return ("new_message" if "type" in step else "update_message"), step
