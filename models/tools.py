"""Tool calls as steps of a job: requests of a tool's context are recorded in the job's log and replayed from it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from files.errors import NoSpace, StoredFileNotFound, WriterStale
from files.store import FileStore, StoredArtifact, Writer
from jobs.context import JobContext, Step, TaskFunction
from jobs.errors import EpochStale, JobIncomplete, RecordRefused, StepFailed, StorageFull, StoreUnavailable
from jobs.events import Source
from jobs.models import JSON, Job
from models.models import Models
from models.open_step import OpenStep, read_back
from models.patience import patience_of
from models.rates import Gate, Rate, expected_tokens
from models.replies import ModelReply, Spent
from models.storages import Storages
from names import DIRECT_CALL
from toolkit.catalogue import ToolSpec
from toolkit.errors import (
    ToolArgumentsInvalid,
    ToolCrashed,
    ToolError,
    ToolHostsUnavailable,
    ToolIncomplete,
    ToolTimeout,
    ToolUnknown,
)
from toolkit.handler import AskedOfAgent, CallContext, Completed, Found, Generated, Recorded, Turn
from toolkit.pool import HostPool
from toolkit.uploads import FileInfo

NO_MODEL = "No language model is connected: its answers are replaced by sentences chosen by word counts."

PARTIAL_SECONDS = 10.0
"""How long a stopped tool may take to save its finished work."""

ERROR_CODES: Sequence[tuple[type[ToolError], str]] = (
    (ToolArgumentsInvalid, "tool_arguments_invalid"),
    (ToolCrashed, "tool_crashed"),
    (ToolTimeout, "tool_timeout"),
    (ToolUnknown, "tool_unknown"),
    (ToolHostsUnavailable, "tool_unavailable"),
    (ToolError, "tool_failed"),
)


class Toolbox:
    """The tools of one worker, called on behalf of jobs."""

    def __init__(self, pool: HostPool, models: Models, files: FileStore) -> None:
        self._pool = pool
        self._models = models
        self._files = files
        self._storages = Storages(files)
        self._gate = Gate()

    @property
    def catalogue(self) -> tuple[ToolSpec, ...]:
        return self._pool.catalogue

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each file or server whose tools are missing."""
        return self._pool.problems

    async def call(
        self,
        ctx: JobContext,
        path: str,
        name: str,
        arguments: Mapping[str, JSON],
        *,
        files: Sequence[str],
        named_sites: tuple[str, ...] | None,
        spent: Spent | None = None,
    ) -> JSON:
        """Runs the tool as the step `path` of the job. `spent` counts its model calls, even if the run fails.

        named_sites: the sites that the user has named, when a model calls the tool; None when the user calls it.

        Raises `ToolError`, and `StepFailed` for a failed model call.
        """
        spent = spent or Spent()
        await self.take_over(ctx)
        context = self.context(ctx, path, name, arguments, files=files, sites=named_sites)
        try:
            async with JobCall(ctx, path, self._models, self._files, self._gate, spent) as call:
                return await self._pool.call(name, dict(arguments), context, call)
        except asyncio.CancelledError:
            if ctx.cancelled and self._has_partial(name):
                ctx.note_stopped(path)
                rest = StoppedCall(ctx, path, self._models, self._files, self._gate, spent)
                await self._save_partial(name, dict(arguments), replace(context, partial=True), rest)
            raise

    def context(
        self,
        ctx: JobContext,
        path: str,
        name: str,
        arguments: Mapping[str, JSON],
        *,
        files: Sequence[str],
        sites: tuple[str, ...] | None,
        turn: Turn | None = None,
    ) -> CallContext:
        """Returns the origin of a call, of an agent with the `turn` that it answers. Call `take_over` before."""
        return CallContext(
            thread_id=ctx.job.thread_id,
            user=ctx.job.user,
            idempotency_key=f"{ctx.job.root_id}/{path}/{self._work(name, arguments)}",
            files=tuple(files),
            named_sites=sites,
            storage=str(self._storages.path(ctx)),
            offline=self._models.settings.offline,
            job=ctx.job.id,
            step=path or None,
            turn=turn,
        )

    async def take_over(self, ctx: JobContext) -> None:
        """An earlier worker may still be saving an artifact or writing to a file of the tools' folder.

        From now on, the artifact is refused and the file is not read. Raises `EpochStale`, `StoreUnavailable`.
        """
        job = ctx.job
        try:
            await self._storages.take(ctx)
            if job.is_new:
                return
            await self._files.begin_artifacts(job.root_id, _writer(job))
        except WriterStale as error:
            raise EpochStale(job.id) from error
        except (NoSpace, TimeoutError) as error:  # this is waited for, as when the log cannot be written
            raise StoreUnavailable from error

    def _work(self, name: str, arguments: Mapping[str, JSON]) -> str:
        """Returns a digest of the call's arguments without its `limits`."""
        limits = next((spec.limits for spec in self.catalogue if spec.name == name), ())
        asked = {key: value for key, value in arguments.items() if key not in limits}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def _has_partial(self, name: str) -> bool:
        return any(spec.name == name and spec.has_partial for spec in self.catalogue)

    async def _save_partial(
        self, name: str, arguments: dict[str, JSON], context: CallContext, rest: StoppedCall
    ) -> None:
        """Runs the stopped tool's `partial`. The job is stopped, even if that fails."""
        try:
            async with asyncio.timeout(PARTIAL_SECONDS), rest:
                await self._pool.call(name, arguments, context, rest)
        except TimeoutError:
            await rest.log("warning", f"What was finished could not be saved within {PARTIAL_SECONDS:g} s.")
        except ToolError as error:
            await rest.log("warning", f"What was finished could not be saved: {error}")


class JobCall:
    """The worker's side of one tool call. At its end, unfinished parts are closed without a record."""

    def __init__(self, ctx: JobContext, path: str, models: Models, files: FileStore, gate: Gate, spent: Spent) -> None:
        self._ctx = ctx
        self._gate = gate
        self._spent = spent
        self._path = path
        self._models = models
        self._files = files
        self._parts: dict[str, OpenStep] = {}
        self._warned_offline = False
        self._rates = [models.settings.rate]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(part.leave() for part in self._parts.values()))
        self._gate.forget(self._bucket)

    async def wait_for_place(self) -> None:
        await self._ctx.wait_for_slot(self._path)

    async def go_on(self) -> None:
        await self._ctx.slot_given(self._path)

    async def progress(self, done: float, total: float | None, message: str) -> None:
        await self._ctx.progress(done, total, message, step=self._path or None)

    async def log(self, level: str, message: str) -> None:
        await self._ctx.log(level, message, step=self._path or None)

    async def plan(self, items: Sequence[tuple[str, str]]) -> None:
        await self._ctx.plan([{"text": text, "status": status} for text, status in items], step=self._path)

    async def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None:
        await self._ctx.source(Source(step=self._path, title=title, url=url, file_id=file_id, page=page))

    async def begin_step(self, path: str, name: str) -> Recorded | None:
        """Returns the recorded output of a finished part; otherwise begins the part, or begins it again."""
        step = self._below(path)
        if step in self._parts:
            await self._parts.pop(step).leave()
        if self._ctx.recorded(step):
            return Recorded(output=await self._ctx.step(step, read_back, name=name, kind="part"))
        self._parts[step] = await OpenStep(self._ctx, step, name=name, kind="part", parent=self._parent(step)).opened()
        return None

    async def end_step(self, path: str, output: JSON) -> None:
        step = self._below(path)
        await self._parts[step].end(output)
        del self._parts[step]

    async def limit_rate(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        own = Rate(bucket=self._bucket, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)
        self._rates[1:] = [own]

    async def complete(self, path: str, instruction: str, material: str) -> Completed | None:
        """Runs a recorded model call. Its step begins after the wait for the rate limit, which a drain may cut off."""
        step = self._below(path)
        if self._ctx.recorded(step):
            return await self._complete(step, instruction, material)
        await self._warn_if_offline()
        rates, expected = tuple(self._rates), expected_tokens(instruction, material)
        await self._gate.enter(self._ctx, rates, expected)
        async with self._models.complete_slots:
            done = await self._complete(step, instruction, material)
        used = (done.input_tokens or 0) + (done.output_tokens or 0)
        await self._gate.settle(self._ctx, rates, expected, used or expected)
        return done

    async def _warn_if_offline(self) -> None:
        """Warns once per tool call, so that extracted sentences are not mistaken for a model's answer."""
        if self._models.settings.offline and not self._warned_offline:
            self._warned_offline = True
            await self.log("warning", NO_MODEL)

    async def open_file(self, file_id: str) -> FileInfo:
        try:
            file = await self._files.get(file_id, owner=self._ctx.job.user)
        except StoredFileNotFound as error:
            raise ToolError(str(error)) from None
        path = str(self._files.path(file.id))
        return FileInfo(id=file.id, name=file.name, mime=file.mime, size=file.size, path=path)

    async def save_artifact(self, name: str, mime: str, path: str) -> None:
        """Saves an artifact. A worker that has lost the job is refused: its file must not replace newer ones."""
        job = self._ctx.job
        try:
            saved = await self._files.save_artifact(
                job.root_id, name=name, mime=mime, source=Path(path), admit=self._admit, writer=_writer(job)
            )
        except (StorageFull, NoSpace) as error:
            raise ToolError(str(error)) from None
        except WriterStale as error:
            raise EpochStale(job.id) from error
        except TimeoutError as error:
            raise StoreUnavailable from error
        await self._ctx.artifact(name=saved.name, mime=saved.mime, size=saved.size, step=self._path)

    async def _admit(self, artifact: StoredArtifact) -> None:
        await self._ctx.fence()
        await self._ctx.count_artifact(artifact.name, artifact.size)

    async def of_agent(self, asked: AskedOfAgent) -> Found | Generated:
        raise ToolError(f"Only an agent may ask for {type(asked).__name__}.")

    async def write(self, text: str, place: int, piece: int) -> None:  # noqa: ARG002
        raise ToolError("Only an agent writes an answer: return a value.")

    async def put_record(self, key: str, value: JSON) -> str:
        try:
            return await self._ctx.put_record(key, value)
        except RecordRefused as error:
            raise ToolError(str(error)) from None

    async def get_record(self, key: str) -> JSON:
        return await self._ctx.record(key)

    async def delete_record(self, key: str) -> None:
        await self._ctx.delete_record(key)

    async def list_records(self, prefix: str) -> list[tuple[str, str]]:
        return await self._ctx.records(prefix)

    @property
    def _bucket(self) -> str:
        """The bucket of the tool's own limit; the same when another worker runs the call again."""
        return f"{self._ctx.job.root_id}/{self._path}"

    async def _complete(self, path: str, instruction: str, material: str) -> Completed:
        model = self._ctx.job.request.model

        async def run(step: Step) -> JSON:
            patience = patience_of(step, self._ctx.job.request.patience_seconds or 0.0)
            return (await self._models.complete(instruction, material, model=model, patience=patience)).as_json()

        name = model or self._models.settings.model
        recorded = await self._ctx.step(path, run, name=name, kind="model", parent=self._parent(path))
        reply = ModelReply.from_json(recorded)
        count_usage(self._ctx, reply)
        self._spent.add(reply)
        return Completed(text=reply.text, input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)

    def _below(self, path: str) -> str:
        return f"{self._path}/{path}" if self._path else path

    def _parent(self, path: str) -> str | None:
        """Returns the path of the part that contains the step, or that of the call; None for an agent's own."""
        while len(path := path.rpartition("/")[0]) > len(self._path):
            if path in self._parts:
                return path
        return self._path or None


class StoppedCall(JobCall):
    """The worker's side of a stopped call's `partial`: finished work is read back, and no new work starts."""

    async def progress(self, done: float, total: float | None, message: str) -> None:
        """Does nothing: the call has already reported its progress."""

    async def plan(self, items: Sequence[tuple[str, str]]) -> None: ...

    async def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None: ...

    async def begin_step(self, path: str, name: str) -> Recorded | None:
        return await super().begin_step(path, name) if self._ctx.recorded(self._below(path)) else None

    async def complete(self, path: str, instruction: str, material: str) -> Completed | None:  # noqa: ARG002
        """Counts no tokens: the stopped call has done so."""
        step = self._below(path)
        if not self._ctx.recorded(step):
            return None
        reply = ModelReply.from_json(await self._ctx.step(step, read_back, name=step, kind="model"))
        return Completed(text=reply.text, input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)


def tool_task(toolbox: Toolbox, name: str) -> TaskFunction:
    """Returns the task of jobs that call this tool directly. The tool's value is the job's result."""

    async def call_tool(ctx: JobContext) -> JSON:
        arguments = ctx.job.request.arguments
        files = await files_of_thread(ctx)

        async def run(step: Step) -> JSON:
            try:
                return await toolbox.call(ctx, step.path, name, arguments, files=files, named_sites=None)
            except ToolIncomplete as end:
                raise JobIncomplete(end.reason, end.result) from end
            except ToolArgumentsInvalid as error:
                raise StepFailed(error_code(error), str(error), error.fields) from error
            except ToolError as error:
                raise StepFailed(error_code(error), str(error)) from error

        return await ctx.step(DIRECT_CALL, run, name=name, kind="tool", input=dict(arguments))

    return call_tool


def _writer(job: Job) -> Writer:
    """Returns the key that orders the writers of a chain of retries."""
    return job.number, job.epoch


async def files_of_thread(ctx: JobContext) -> tuple[str, ...]:
    """Returns the ids of the files of this turn and the thread's earlier turns, oldest first."""
    turns = [turn.job for turn in await ctx.history()]
    return tuple(dict.fromkeys(file for job in (*turns, ctx.job) for file in job.request.files))


def error_code(error: ToolError) -> str:
    return next(code for kind, code in ERROR_CODES if isinstance(error, kind))


def count_usage(ctx: JobContext, reply: ModelReply) -> None:
    """Adds the reply's tokens to the job's sum, for replayed calls too."""
    if reply.input_tokens is not None:
        ctx.add_usage(reply.input_tokens, reply.output_tokens or 0)
