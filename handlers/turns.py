"""Reads turns from the log and renders them as screens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from handlers.forms import ToolForm
from handlers.render import TurnScreen
from jobs import JSON, Job, JobClient
from services.prices import NO_PRICES, Prices
from services.web import FileStore, StoredFile, StoredFileNotFound

MAX_KEPT = 200
"""Ended turns whose rendering is cached: Chainlit asks for a thread three times when a page opens it."""


class Turns:
    """Opens turns. A turn that has ended never changes, so it is rendered once."""

    def __init__(self, jobs: JobClient, files: FileStore, prices: Prices = NO_PRICES) -> None:
        self._jobs = jobs
        self._prices = prices
        self._files = files
        self._ended: OrderedDict[str, TurnScreen] = OrderedDict()

    async def of_thread(self, thread_id: str) -> list[TurnScreen]:
        """Returns the thread's turns in order, up to date with the log."""
        jobs = await self._jobs.thread_jobs(thread_id)
        tools = await self._tools() if not all(job.request.is_turn for job in jobs) else {}
        return [await self._open(job, form_of(job, tools)) for job in jobs]

    async def open(self, job: Job) -> TurnScreen:
        """Returns the turn, up to date with the log."""
        return await self._open(job, form_of(job, await self._tools()))

    async def answer(self, root_id: str, user: str) -> str:
        """Returns the answer of the turn that began with this job. Raises `JobNotFound`."""
        root = await self._jobs.get(root_id, user)
        turns = [] if root.thread_id is None else await self._jobs.thread_jobs(root.thread_id)
        newest = next((job for job in turns if job.root_id == root.root_id), root)
        return (await self.open(newest)).answer

    async def begin(self, job: Job) -> TurnScreen:
        """Returns the turn before its first event."""
        return await self._begin(job, form_of(job, await self._tools()))

    async def form(self, tool: str) -> ToolForm | None:
        """Returns the form of a tool as the workers offer it, or offered it last; None for an unknown tool."""
        offered = (await self._tools()).get(tool)
        return None if offered is None else ToolForm.of(offered)

    async def _tools(self) -> dict[str, Mapping[str, JSON]]:
        return {str(tool["name"]): tool for tool in await self._jobs.tools()}

    async def _open(self, job: Job, form: ToolForm | None) -> TurnScreen:
        kept = self._ended.get(job.id)
        if kept is not None and (kept.form, kept.turn) == (form, job.turn):
            self._ended.move_to_end(job.id)
            return kept
        turn = await self._begin(job, form)
        async for batch in self._jobs.log(job.id):
            turn.feed(batch)
        if turn.ended is not None:
            self._ended[job.id] = turn
            if len(self._ended) > MAX_KEPT:
                self._ended.popitem(last=False)
        return turn

    async def _begin(self, job: Job, form: ToolForm | None) -> TurnScreen:
        attached = await self._found(job.request.files, job.user)
        choices = await self._choices(job, form) if form is not None else []
        return TurnScreen(job, attached, form=form, choices=choices, prices=self._prices)

    async def _choices(self, job: Job, form: ToolForm) -> list[StoredFile]:
        """Returns the files attached to this turn and earlier ones of its thread, and those in its arguments."""
        thread = await self._jobs.thread_jobs(job.thread_id) if job.thread_id is not None else [job]
        attached = [file for one in thread if one.turn <= job.turn for file in one.request.files]
        given = [file for _, file in form.file_ids(job.request.arguments)]
        return await self._found([*attached, *given], job.user)

    async def _found(self, file_ids: Sequence[str], user: str) -> list[StoredFile]:
        """Returns the files that still exist."""
        found = []
        for file_id in _unique(file_ids):
            try:
                found.append(await self._files.get(file_id, user))
            except StoredFileNotFound:
                continue
        return found


def _unique(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def form_of(job: Job, tools: Mapping[str, Mapping[str, JSON]]) -> ToolForm | None:
    """Returns None for a chat turn. The form of a tool that is gone still shows the submitted arguments."""
    if job.request.is_turn:
        return None
    task = job.request.task
    return ToolForm.of(tools[task]) if task in tools else ToolForm.unknown(task, job.request.arguments)
