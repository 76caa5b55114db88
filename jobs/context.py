"""The interface of a running job: run steps once, stream text, report progress, log. The log records all of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import audit
from background import run_together, wait_event
from jobs.deltas import DeltaBuffer, Ticks
from jobs.errors import StepFailed
from jobs.estimates import Pace, first_stalled
from jobs.events import (
    Artifact,
    KnownPayload,
    Log,
    Plan,
    Progress,
    Source,
    StepFinished,
    StepKind,
    StepPayload,
    StepStarted,
    StepWaiting,
    WaitReason,
)
from jobs.journal import of_job
from jobs.models import JSON, Folder, InboxMessage, Job
from jobs.store import JobStore
from jobs.transcript import Transcript, reasoning_path
from jobs.writer import LogWriter

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

MAX_REASONED = 20
"""Steps of reasoning in one model's call. The last one goes on beside the text, however often they alternate."""
PROGRESS_SECONDS = 0.1
"""The shortest time between two progress events of one step; a step's last report is always written."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An earlier turn of the thread."""

    job: Job
    transcript: Transcript
    """The steps and the end, without the text."""


TaskFunction = Callable[["JobContext"], Awaitable[JSON]]
"""Returns the result of `job.completed`, or raises `JobFailed` or `JobIncomplete`."""


class Step:
    """A running step."""

    def __init__(self, context: JobContext, path: str, attempt: int) -> None:
        self._context = context
        self.path = path
        self.attempt = attempt
        self._go_on: asyncio.Event | None = None
        self._reasoning: Reasoning | None = None
        self._reasoned = 0  # how often the model has begun to reason in its present try

    def text(self, text: str) -> None:
        """Stream a piece of text. Never waits: pieces are coalesced and written in order."""
        if self._reasoning is not None and self._reasoned < MAX_REASONED:
            self.end_reasoning()
        self._context.deltas.add(self.path, text)

    def reasoning(self, text: str, *, anew: bool) -> None:
        """Stream a piece of the model's reasoning, as a step inside this one that ends with the next text. Never waits.

        anew: the first piece of a try; what the model wrote in an earlier one is withdrawn.
        """
        if anew:
            self._reasoned = 0
        if anew or self._reasoning is None:
            self._reasoning = Reasoning(self._context, self.path, self._reasoned)
            self._reasoned += 1
        self._reasoning.write(text)

    def end_reasoning(self) -> None:
        """End the step inside this one, if it is open."""
        if self._reasoning is not None:
            self._reasoning.end()
            self._reasoning = None

    def room(self) -> Awaitable[object] | None:
        """Returns an awaitable that is done when more text may be produced, or None while the store keeps up."""
        return self._context.room()

    async def progress(self, done: float, total: float | None, message: str = "") -> None:
        await self._context.progress(done, total, message, step=self.path)

    async def log(self, level: str, message: str) -> None:
        await self._context.log(level, message, step=self.path)

    @property
    def waits(self) -> int:
        """How often the step has waited, in its earlier attempts too."""
        return self._context.waits(self.path)

    async def waiting(self, reason: WaitReason, until: float) -> None:
        """Say that the step waits for something outside, until a Unix time."""
        self._go_on = self._context.go_on  # a user may end the wait before the pause begins
        await self._context.emit(StepWaiting(step=self.path, reason=reason, until=until))

    async def pause(self, seconds: float) -> None:
        """Wait for the pause, or until a user ends it."""
        await wait_event(self._go_on or self._context.go_on, seconds)
        self._go_on = None

    async def begin_again(self) -> None:
        """Withdraw the step's text."""
        self.attempt += 1
        await self._context.begin_again(self.path, self.attempt)


class Reasoning:
    """The open step of a model's reasoning. It holds no step's place: it is written as it comes and never read back."""

    def __init__(self, context: JobContext, parent: str, number: int) -> None:
        """number: how often the model has reasoned before in this try, which is one attempt at all of them."""
        self._context = context
        self._path = reasoning_path(parent, number)
        self._pieces: list[str] = []
        self._begun = time.monotonic()
        attempt = context.attempts(reasoning_path(parent)) + (number == 0)
        context.post(StepStarted(step=self._path, name="reasoning", kind="reasoning", attempt=attempt, parent=parent))

    def write(self, text: str) -> None:
        self._pieces.append(text)
        self._context.deltas.add(self._path, text)

    def end(self) -> None:
        seconds = round(time.monotonic() - self._begun, 3)
        self._context.post(StepFinished(step=self._path, seconds=seconds, output={"text": "".join(self._pieces)}))


class JobContext:
    """One attempt at one job, made by the worker. Every write carries the attempt's epoch; a stale one is refused."""

    def __init__(
        self,
        job: Job,
        store: JobStore,
        transcript: Transcript,
        *,
        draining: asyncio.Event,
        lost: Callable[[], None],
        ticks: Ticks | None = None,
    ) -> None:
        self.job = job
        self.stopped: list[dict[str, JSON]] = []
        """The stopped steps: {step, name, kind, seconds}, written into the terminal event."""
        self.cancelled_at: float | None = None
        """Monotonic time of the cancel; None if the job is not cancelled."""
        self._store = store
        self._draining = draining  # set when the process is about to end: then no step begins
        self._transcript = transcript
        self._running: set[str] = set()
        self._not_begun: set[str] = set()  # steps that a draining process refused to begin
        self._usage: dict[str, int] | None = None
        self.go_on = asyncio.Event()
        """Ends the present pauses of the steps."""
        self._paces: dict[str, Pace] = {}  # of the running tool calls
        self._progress_at: dict[str | None, float] = {}
        self._late_progress: dict[str | None, Progress] = {}  # reported too soon; the last is written when it is due
        self._late_timers: dict[str | None, asyncio.TimerHandle] = {}
        self._writer = LogWriter(store, job, transcript, lost=lost)
        self.deltas = DeltaBuffer(self._writer.post, ticks=ticks)

    @property
    def cancelled(self) -> bool:
        return self.cancelled_at is not None

    @property
    def usage(self) -> dict[str, int] | None:
        return self._usage

    def add_usage(self, input_tokens: int, output_tokens: int) -> None:
        """Count tokens, also those of replayed steps: the sum belongs to the job, not to the attempt."""
        before = self._usage or {"input_tokens": 0, "output_tokens": 0}
        self._usage = {
            "input_tokens": before["input_tokens"] + input_tokens,
            "output_tokens": before["output_tokens"] + output_tokens,
        }

    @property
    def failure(self) -> Exception | None:
        """Why this attempt can write no more: another worker has the job, or the store failed for too long."""
        return self._writer.failure

    def room(self) -> Awaitable[object] | None:
        """As `Step.room`."""
        return self._writer.room()

    def close(self) -> None:
        """End the attempt: nothing is sent again."""
        for timer in self._late_timers.values():
            timer.cancel()
        self._writer.close()

    async def emit(self, *payloads: KnownPayload) -> int:
        """Append events after the text streamed so far. Returns the last seq.

        Raises `EpochStale`, and `StoreUnavailable` when resending the writes has failed for half a minute.
        """
        self.deltas.flush()
        return await self._writer.append([self._heard(payload) for payload in payloads])

    def post(self, payload: KnownPayload) -> None:
        """As `emit`, without waiting for the store. A failure shows in `failure`."""
        self.deltas.flush()
        self._writer.post([self._heard(payload)])

    def _heard(self, payload: KnownPayload) -> KnownPayload:
        """Counts a step's event as a sign of life of the tool call around it, and adds when the job is stalled."""
        if not self._paces or not isinstance(payload, StepPayload):
            return payload
        now, path = time.monotonic(), payload.step
        for call, pace in self._paces.items():
            if path is not None and f"{path}/".startswith(f"{call}/"):
                pace.hear(now, waits=isinstance(payload, StepWaiting))
        seconds = first_stalled(self._paces.values(), now)
        return replace(payload, stalled_after_seconds=seconds and round(seconds, 1))

    def take(self, message: InboxMessage, payload: KnownPayload) -> None:
        """Write this event in place of the inbox message, without waiting for the store."""
        self.deltas.flush()
        self._writer.post([payload], taken=[message.number])

    def try_now(self) -> None:
        """End the pauses of the job's steps."""
        self.go_on.set()
        self.go_on = asyncio.Event()

    async def log(self, level: str, message: str, *, step: str | None = None) -> None:
        await self.emit(Log(step=step, level=level, message=message))

    async def progress(self, done: float, total: float | None, message: str = "", *, step: str | None = None) -> None:
        now = time.monotonic()
        last = total is not None and done >= total
        report = Progress(step=step, done=done, total=total, message=message)
        if (pace := self._paces.get(step or "")) is not None:
            report = replace(report, eta_seconds=pace.left(report, now))
        wait = self._progress_at.get(step, -1.0) + PROGRESS_SECONDS - now
        if not last and wait > 0:
            self._late_progress[step] = report
            if step not in self._late_timers:
                timer = asyncio.get_running_loop().call_later(wait, self._tell_late, step)
                self._late_timers[step] = timer
            return
        self._progress_at[step] = now
        self._late_progress.pop(step, None)
        await self.emit(report)

    def _tell_late(self, step: str | None) -> None:
        """Write the progress that was held back because it came too soon."""
        self._late_timers.pop(step, None)
        if (report := self._late_progress.pop(step, None)) is not None and self.failure is None:
            self._progress_at[step] = time.monotonic()
            self.post(report)

    async def plan(self, items: Sequence[Mapping[str, str]], *, step: str) -> None:
        await self.emit(Plan(step=step, items=items))

    async def source(self, source: Source) -> None:
        """Written once, also when the step runs again."""
        if source not in self._transcript.sources:
            await self.emit(source)

    async def count_artifact(self, name: str, size: int) -> None:
        """Count data before it is stored for the user. Raises `EpochStale`, and `StorageFull` beyond the limit."""
        await self._store.add_artifact(self.job, name, size)

    async def artifact(self, *, name: str, mime: str, size: int, step: str) -> None:
        await self.emit(Artifact(name=name, mime=mime, size=size, step=step))

    async def put_record(self, key: str, value: JSON) -> str:
        """Keep a value for the thread. Returns its version. Raises `EpochStale`, and `RecordRefused` beyond a limit."""
        return await self._store.put_record(self.job, key, value)

    async def delete_record(self, key: str) -> None:
        """Raises `EpochStale`."""
        await self._store.delete_record(self.job, key)

    async def record(self, key: str) -> JSON:
        """Returns the value that is kept for the thread, or None."""
        return await self._store.record(self.job, key)

    async def records(self, prefix: str) -> list[tuple[str, str]]:
        """Returns key and version of the thread's records, in the order of their first puts."""
        return await self._store.records(self.job, prefix)

    async def folder(self) -> Folder:
        """Returns the folder of the thread's tools. Raises `EpochStale`."""
        return await self._store.folder(self.job)

    async def move_folder(self, name: str) -> None:
        """The thread's tools use this folder from now on. Raises `EpochStale`."""
        await self._store.move_folder(self.job, name)

    async def fence(self) -> None:
        """Raises `EpochStale` when another worker has taken the job over."""
        await self.emit()

    async def reserve(self, bucket: str, amount: float, per_minute: float) -> float:
        """Returns the seconds to wait before using `amount` of the rate that all workers share per minute."""
        return await self._store.reserve(bucket, amount, per_minute)

    def recorded(self, path: str) -> bool:
        return self._transcript.finished(path) is not None

    def attempts(self, path: str) -> int:
        """How often the step has started."""
        step = self._transcript.steps.get(path)
        return 0 if step is None else step.started.attempt

    def begun(self, path: str) -> bool:
        """Whether the log has the step."""
        return path in self._transcript.steps

    def recorded_name(self, path: str) -> str | None:
        """Returns the name of a finished step; None for another one."""
        return self._transcript.steps[path].started.name if self.recorded(path) else None

    def recorded_below(self, path: str) -> bool:
        """Whether a step directly inside this path, which need be no step itself, has finished."""
        return path in self._transcript.finished_below

    async def step(
        self,
        path: str,
        run: Callable[[Step], Awaitable[JSON]],
        *,
        name: str,
        kind: StepKind,
        parent: str | None = None,
        input: JSON = None,
    ) -> JSON:
        """Run a step that never runs again once it has finished: then its recorded output is returned, or its recorded
        `StepFailed` raised.

        Other exceptions and cancellation leave no record: the step runs again when the job is resumed.
        """
        if (record := self._transcript.finished(path)) is not None:
            return _replay(record)
        await self._wait_while_draining(path)
        attempt = self.attempts(path) + 1
        if kind == "tool":
            self._paces[path] = Pace(name, await self._store.runs(name), time.monotonic())
        started = StepStarted(step=path, name=name, kind=kind, attempt=attempt, parent=parent, input=input)
        if kind == "model":
            self.post(started)  # a model may be asked twice, so its call need not wait for the store
        else:
            await self.emit(started)
        if kind == "tool":
            audit.record("tool called", who=self.job.user, tool=name, job=self.job.id, step=path)
        self._running.add(path)
        begun = time.monotonic()
        step = Step(self, path, attempt)
        try:
            output = await run(step)
        except StepFailed as failure:
            step.end_reasoning()
            await self._finish(path, begun, error=failure.record)
            raise
        except asyncio.CancelledError:
            self.note_stopped(path)
            raise
        finally:
            self._running.discard(path)
            pace = self._paces.pop(path, None)
            if (timer := self._late_timers.pop(path, None)) is not None:
                timer.cancel()
        step.end_reasoning()
        await self._finish(path, begun, output=output)
        if pace is not None:
            self._store.add_run(pace.run(time.monotonic()))
        return output

    def waits(self, path: str) -> int:
        step = self._transcript.steps.get(path)
        return 0 if step is None else step.waits

    async def begin_again(self, path: str, attempt: int) -> None:
        await self.emit(replace(self._transcript.steps[path].started, attempt=attempt))

    async def wait_for_slot(self, path: str) -> None:
        """Say that a running step waits until others have made room for it."""
        await self.emit(StepWaiting(step=path, reason="slot"))

    async def slot_given(self, path: str) -> None:
        """End the wait: for the estimates of how long such steps take, the step starts only now."""
        if (pace := self._paces.get(path)) is not None:
            self._paces[path] = pace.begun_at(time.monotonic())
        await self.emit(self._transcript.steps[path].started)

    async def map(
        self,
        path: str,
        items: Sequence[Item],
        run: Callable[[Step, Item], Awaitable[JSON]],
        *,
        limit: int,
        name: str,
    ) -> list[JSON]:
        """Run `run` for each item, at most `limit` at a time, each as a step `<path>/part:<i>`."""
        slots = asyncio.Semaphore(limit)

        async def part(index: int, item: Item) -> JSON:
            async with slots:
                part_path = f"{path}/part:{index}"
                return await self.step(part_path, lambda step: run(step, item), name=name, kind="part", parent=path)

        return await run_together(part(index, item) for index, item in enumerate(items))

    async def history(self) -> list[Turn]:
        """Returns the earlier turns of the thread, oldest first, each as the newest job of its chain of retries."""
        if self.job.thread_id is None:
            return []
        earlier = [
            job
            for job in await self._store.thread_jobs(self.job.thread_id)
            if job.turn < self.job.turn and job.root_id != self.job.root_id
        ]
        return [Turn(job=job, transcript=Transcript.of(await self._store.milestones(job.id))) for job in earlier]

    def at_checkpoint(self) -> bool:
        """Whether every running step waits for one of its own steps to begin, so that ending now loses no work."""
        return all(any(inner.startswith(f"{path}/") for inner in self._not_begun) for path in self._running)

    async def _wait_while_draining(self, path: str) -> None:
        """Never returns in a draining process: the next holder of the job begins the step."""
        if self._draining.is_set():
            self._not_begun.add(path)
            await asyncio.Future()

    async def _finish(
        self, path: str, begun: float, *, output: JSON = None, error: dict[str, JSON] | None = None
    ) -> None:
        seconds = round(time.monotonic() - begun, 3)
        finished = StepFinished(step=path, seconds=seconds, output=output, error=error)
        late = self._late_progress.pop(path, None)
        await self.emit(*([late] if late is not None else []), finished)
        self._tell_finished(finished)

    def _tell_finished(self, finished: StepFinished) -> None:
        """Parts are logged at DEBUG, because tools make thousands of them."""
        kind = self._transcript.steps[finished.step].started.kind
        if kind == "part":
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("part finished", extra=self._of_step(finished.step, finished.seconds, finished.error))
        else:
            logger.info("step finished", extra=self._of_step(finished.step, finished.seconds, finished.error))

    def _of_step(self, path: str, seconds: float, error: Mapping[str, JSON] | None = None) -> Mapping[str, Any]:
        """Returns the log fields of a step. Of `error` it takes only the code: the message may hold user content."""
        step = self._transcript.steps[path].started
        code = None if error is None else error.get("code")
        return of_job(self.job, step=path, name=step.name, kind=step.kind, seconds=seconds, error=code)

    def note_stopped(self, path: str) -> None:
        """Add the step to the stopped steps, once."""
        if self.cancelled_at is not None and all(one["step"] != path for one in self.stopped):
            step = self._transcript.steps[path].started
            seconds = round(time.monotonic() - self.cancelled_at, 3)
            self.stopped.append({"step": path, "name": step.name, "kind": step.kind, "seconds": seconds})
            logger.info("step stopped", extra=self._of_step(path, seconds))


def _replay(record: StepFinished) -> JSON:
    if record.error is not None:
        raise StepFailed.from_record(record.error)
    return record.output
