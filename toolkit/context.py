"""The interface of a tool to its worker: ToolContext for `def`, AsyncToolContext for `async def`."""

import asyncio
import hashlib
import inspect
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar, cast, get_args

from background import cancel_and_wait
from toolkit import artifacts
from toolkit.completion import Completion
from toolkit.errors import NotFinished, NotJson, ToolMisused
from toolkit.handler import Asked, BeginStep, Complete, Completed, EndStep, LimitRate, Recorded, SaveArtifact, Turn
from toolkit.map_progress import MapProgress
from toolkit.records import Records
from toolkit.uploads import FileInfo, UploadedFile
from toolkit.wire import plain

Item = TypeVar("Item")
Value = TypeVar("Value")
Level = Literal["info", "warning", "error"]

MAX_NAME = 200
MAX_LOG_LINE = 4000
MAX_PROGRESS_MESSAGE = 300
MAX_PLAN = 100

# The path of the step that runs: "" outside of steps, "part:3" in the fourth part of the first map. Threads of a map
# copy it.
current_path: ContextVar[str] = ContextVar("current_path", default="")


@dataclass(frozen=True, kw_only=True)
class CallInfo:
    """The origin of a call, as its host receives it."""

    thread_id: str | None
    """The thread of the call; None for a call outside of threads."""
    user: str
    idempotency_key: str
    """The same for every attempt at the call: pass it to services that accept such keys."""
    files: tuple[FileInfo, ...]
    """The files of the thread."""
    scratch: str
    """The path of a directory only for this attempt, which is created on demand and deleted at the attempt's end."""
    storage: str
    """A directory of the thread."""
    named_sites: tuple[str, ...] | None = None
    """The sites that a call by a model may visit; None when a person calls."""
    job: str | None = None
    step: str | None = None
    """The job, and the step of the job for this call; for the log."""
    partial: bool = False
    """The call was stopped, and its `partial` saves the finished work: no new work starts."""
    offline: bool = False
    """No language model is connected."""
    turn: Turn | None = None
    """The message that an agent answers."""


class Link(Protocol):
    """A context's connection to the worker."""

    @property
    def cancelled(self) -> bool: ...

    def request(self, asked: Asked) -> "Future[Any]":
        """Send a request to the worker; the future's result is the reply. Raises CallCancelled, NotJson."""

    async def answer(self, request: "Future[Any]") -> Any:
        """Await the reply. If this is cancelled, the worker is told to abandon the request."""

    def progress(self, done: float, total: float | None, message: str) -> None: ...

    def log(self, level: str, message: str) -> None: ...

    def plan(self, items: Sequence[tuple[str, str]]) -> None: ...

    def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None: ...

    def write(self, text: str, place: int, piece: int) -> None:
        """Add a piece to an agent's text. place: of the text among the checkpoints; piece: 0, 1, 2 … within it."""

    def interruptible(self) -> AbstractContextManager[None]:
        """Within this block, a cancel may interrupt the current thread, which works for the call."""


def _status(index: int, at: int, skipped: Collection[int]) -> str:
    if index in skipped:
        return "skipped"
    return "done" if index < at else "active" if index == at else "pending"


class _Context:
    """The base of both contexts."""

    def __init__(self, link: Link, info: CallInfo) -> None:
        self._link = link
        self._info = info
        self._seen: Counter[str] = Counter()  # how often each path was started
        self._files = [UploadedFile(file.id, file) for file in info.files]
        self._map_progress: MapProgress | None = None  # of the map that runs outside of steps and parts
        self._has_scale = False  # the code reports progress with a total

    @property
    def thread_id(self) -> str | None:
        """The thread that the call belongs to; None for a call outside of threads."""
        return self._info.thread_id

    @property
    def user(self) -> str:
        """The user for whom the tool runs."""
        return self._info.user

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this call: pass it to services that would otherwise act twice.

        A retry with other arguments has another key, unless only arguments changed that the tool declares as `limits`.
        A call has one key: if it sends several requests, extend the key for each (`f"{ctx.idempotency_key}/{row}"`).
        """
        return self._info.idempotency_key

    @property
    def files(self) -> list[UploadedFile]:
        """The files of the thread."""
        return list(self._files)

    @property
    def named_sites(self) -> tuple[str, ...] | None:
        """The sites that the user named in this thread (`example.org`, `example.org:8080`); None when a person calls.

        When a model calls, a tool that fetches addresses must refuse all other sites. Otherwise a document could tell
        the model to send data away.
        """
        return self._info.named_sites

    @property
    def offline(self) -> bool:
        """Whether no language model is connected. `complete` then returns sentences from the material."""
        return self._info.offline

    @property
    def scratch(self) -> Path:
        """A directory for the call's temporary files: empty at first, and always deleted when the call ends."""
        directory = Path(self._info.scratch)
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    @property
    def storage(self) -> Path:
        """A directory of the thread (of the job, if it has no thread), kept between calls and deleted with it.

        Several calls may use it at once, on any machine. It is created when this property is first read.
        """
        if not self._info.storage:
            raise RuntimeError("this call has no storage: its CallContext names none")
        path = Path(self._info.storage)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def records(self) -> Records:
        """The conversation's values, which are kept between calls."""
        return Records(lambda asked: self._link.request(asked).result())

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled. Check this in loops that call no other method of the context."""
        return self._link.cancelled

    def report_progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report progress, as often as you like: the newest report is sent, at most 20 a second.

        `map` reports its finished parts automatically, unless the code has reported with a total or inside its parts.
        """
        if not math.isfinite(done) or (total is not None and not math.isfinite(total)):
            raise ToolMisused(f"progress {done!r} of {total!r}: pass finite numbers, or None as the total")
        self._has_scale |= total is not None
        if self._map_progress is not None and current_path.get():
            done = self._map_progress.told(done, total, message[:MAX_PROGRESS_MESSAGE])
        self._link.progress(_number(done), None if total is None else _number(total), message[:MAX_PROGRESS_MESSAGE])

    def log(self, level: Level, message: str) -> None:
        """Write a line that the user can read into the job's log; `level` is 'info', 'warning' or 'error'."""
        if level not in get_args(Level):
            raise ToolMisused(f"the log level is {level!r}: use 'info', 'warning' or 'error', then the message")
        self._link.log(level, message[:MAX_LOG_LINE])

    def plan(self, items: Sequence[str], *, at: int = 0, skipped: Collection[int] = ()) -> None:
        """Show the call's plan: pass the whole list each time, at most 100 items.

        at: the index of the item in progress; the items before it are done. skipped: indexes of items left out.
        """
        if len(items) > MAX_PLAN:
            raise ToolMisused(f"a plan of {len(items)} items: {MAX_PLAN} are the most")
        places = enumerate(items)
        self._link.plan([(text[:MAX_PROGRESS_MESSAGE], _status(index, at, skipped)) for index, text in places])

    def source(
        self, title: str, *, url: str | None = None, file: UploadedFile | None = None, page: int | None = None
    ) -> None:
        """Show a source that the call has used: a web page, or a file of the user with a page, counted from 1."""
        if url is not None and not url.startswith(("http://", "https://")):
            raise ToolMisused(f"the source's address {url[:100]!r} must begin with http:// or https://")
        if page is not None and page < 1:
            raise ToolMisused(f"page {page}: pages are counted from 1")
        file_id = None if file is None else file.id
        self._link.source(title[:MAX_PROGRESS_MESSAGE], url=url and url[:MAX_LOG_LINE], file_id=file_id, page=page)

    def open(self, file: UploadedFile) -> BinaryIO:
        """Open the file's content for reading, as bytes."""
        return file.open()

    def _may_begin(self, name: str) -> None:
        if self._info.partial:
            raise NotFinished(f"{name!r} was not finished when the call was stopped.")

    def _step_path(self, name: str) -> str:
        path = _under(current_path.get(), f"step:{_path_name(name)}")
        self._seen[path] += 1
        if self._seen[path] > 1:
            raise ToolMisused(f"two steps are called {name!r}: a step's name is its checkpoint, so make it unique")
        return path

    def _map_path(self, map_key: str) -> str:
        if map_key:
            return self._numbered(_under(current_path.get(), f"map:{_digest(map_key)}"))
        key = _under(current_path.get(), "map")
        number = self._seen[key]
        self._seen[key] += 1
        return _under(current_path.get(), f"map:{number}") if number else current_path.get()

    @contextmanager
    def _counting(self, parts: int) -> Iterator[MapProgress]:
        """Yields the progress of a map. A map inside a step or part, or beside another map, reports none."""
        if current_path.get() or self._map_progress is not None or parts <= 1:
            yield MapProgress(parts, self._link.progress, silent=True)
            return
        self._map_progress = MapProgress(parts, self._link.progress, silent=self._has_scale)
        try:
            yield self._map_progress
        finally:
            self._map_progress = None

    def _complete_path(self, instruction: str, material: str) -> str:
        """Named by content, not by order, so that a changed tool or another order reads no wrong answer."""
        return self._numbered(_under(current_path.get(), f"complete:{_digest(instruction, material)}"))

    def _numbered(self, path: str) -> str:
        number = self._seen[path]
        self._seen[path] += 1
        return f"{path}:{number}" if number else path


class ToolContext(_Context):
    """For tools written as `def`. Its methods may be called from any thread of the call.

    A call may run more than once: its host may die, the worker may be killed, the user may retry. Each attempt begins
    at the function's first line. Results that `step`, `map` and `complete` have recorded are read back; interrupted
    ones run again. Put work that is slow, costs money or must not happen twice into a step. Keep the code between steps
    quick and free of side effects, and pass the `idempotency_key` to services that would otherwise act twice.
    """

    def step(self, name: str, fn: Callable[[], Value]) -> Value:
        """Run `fn`, or read back its JSON value when an earlier attempt has finished the step.

        The name identifies the checkpoint, so it must be unique within the step or part around it. Put into the name
        what the value depends on (`f"load {sheet}"`), as a retry may have other arguments. An interrupted step runs
        again from its start; one that raised leaves no checkpoint. The value is converted as by JSON (tuples become
        lists).
        """
        return self._checkpointed(self._step_path(name), name, fn)

    def map(
        self, items: Iterable[Item], fn: Callable[[Item], Value], limit: int = 4, name: str = "part", key: str = ""
    ) -> list[Value]:
        """Call `fn` with every item, `limit` at a time in threads. Returns the values in the items' order.

        Each part is a checkpoint, like a step, identified by its number: when the call runs again, finished parts are
        read back and at most `limit` interrupted ones run again. So the items must come in the same order every time.
        With a `key`, parts are read back only under the same key: pass one if the items depend on arguments that a
        retry may change. The first exception ends the map; parts in progress finish and keep their checkpoints.
        """
        parts = list(items)
        base = self._map_path(key)
        failed = threading.Event()  # no part starts after one has failed

        def part(index: int, item: Item, counted: MapProgress) -> Value | None:
            if failed.is_set():
                return None

            def run() -> Value:
                counted.begun(index)
                return fn(item)

            with self._link.interruptible(), _setting_on_error(failed):
                title = f"{name} {index + 1} of {len(parts)}"
                value = self._checkpointed(_under(base, f"part:{index}"), title, run)
                counted.finished(index)
                return value

        threads = ThreadPoolExecutor(max_workers=_limit(limit), thread_name_prefix="map")
        with self._counting(len(parts)) as counted, threads:
            futures = [threads.submit(copy_context().run, part, i, item, counted) for i, item in enumerate(parts)]
        return _results(futures)

    def complete(self, instruction: str, material: str = "") -> Completion:
        """Returns the model's answer to the instruction and the material: a string that knows its tokens.

        Checkpointed by its content, so that the same question is asked once; limited to the rates of `limit_rate` and
        of the worker.
        """
        path = self._complete_path(instruction, material)
        return _completion(self._ask(Complete(path=path, instruction=instruction, material=material)))

    def limit_rate(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        """Limit all later `complete` of this call to these rates, also across restarts. None sets no limit."""
        self._ask(_limit_rate(requests_per_minute, tokens_per_minute))

    def save_artifact(self, name: str, data: bytes | str | Path, mime: str | None = None) -> None:
        """Hand the user a file: its bytes, or the path of a complete file, which is copied."""
        with artifacts.as_file(name, data, lambda: self.scratch) as path:
            self._ask(SaveArtifact(name=name, mime=mime or artifacts.mime_of(name), path=path))

    def _checkpointed(self, path: str, name: str, fn: Callable[[], Value]) -> Value:
        recorded: Recorded | None = self._ask(BeginStep(path=path, name=name))
        if recorded is not None:
            output: Value = recorded.output
            return output
        self._may_begin(name)
        with _at(path):
            output = _plain(fn(), name)
        self._ask(EndStep(path=path, output=output))
        return output

    def _ask(self, asked: Asked) -> Any:
        return self._link.request(asked).result()


class AsyncToolContext(_Context):
    """For tools written as `async def`. Its awaitable methods may be called from any task of the call.

    A call may run more than once, as ToolContext explains: the results of finished steps, parts and completions are
    read back, the rest of the code runs again.
    """

    async def step(self, name: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        """Run `fn`, or read back its JSON value when an earlier attempt has finished the step.

        The name identifies the checkpoint, so it must be unique within the step or part around it. Put into the name
        what the value depends on (`f"load {sheet}"`), as a retry may have other arguments. An interrupted step runs
        again from its start; one that raised leaves no checkpoint. The value is converted as by JSON (tuples become
        lists).
        """
        return await self._checkpointed(self._step_path(name), name, fn)

    async def map(
        self,
        items: Iterable[Item],
        fn: Callable[[Item], Awaitable[Value]],
        limit: int = 4,
        name: str = "part",
        key: str = "",
    ) -> list[Value]:
        """Call `fn` with every item, `limit` at a time. Returns the values in the items' order.

        Checkpoints, order and `key` are as in ToolContext.map. The first exception ends the map and cancels the parts
        in progress.
        """
        parts = list(items)
        base = self._map_path(key)
        results: dict[int, Value] = {}
        waiting = iter(enumerate(parts))

        def run(index: int, item: Item) -> Awaitable[Value]:
            counted.begun(index)
            return fn(item)

        async def work() -> None:
            for i, item in waiting:
                title = f"{name} {i + 1} of {len(parts)}"
                with suppress(NotFinished):
                    results[i] = await self._checkpointed(_under(base, f"part:{i}"), title, partial(run, i, item))
                    counted.finished(i)

        with self._counting(len(parts)) as counted:
            await _all([work() for _ in range(min(_limit(limit), len(parts)))])
        return [results[i] for i in sorted(results)]

    async def complete(self, instruction: str, material: str = "") -> Completion:
        """Returns the model's answer to the instruction and the material: a string that knows its tokens.

        Checkpointed by its content, so that the same question is asked once; limited to the rates of `limit_rate` and
        of the worker.
        """
        path = self._complete_path(instruction, material)
        return _completion(await self._ask(Complete(path=path, instruction=instruction, material=material)))

    async def limit_rate(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        """Limit all later `complete` of this call to these rates, also across restarts. None sets no limit."""
        await self._ask(_limit_rate(requests_per_minute, tokens_per_minute))

    async def save_artifact(self, name: str, data: bytes | str | Path, mime: str | None = None) -> None:
        """Hand the user a file: its bytes, or the path of a complete file, which is copied."""
        with artifacts.as_file(name, data, lambda: self.scratch) as path:
            await self._ask(SaveArtifact(name=name, mime=mime or artifacts.mime_of(name), path=path))

    async def _checkpointed(self, path: str, name: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        recorded: Recorded | None = await self._ask(BeginStep(path=path, name=name))
        if recorded is not None:
            output: Value = recorded.output
            return output
        self._may_begin(name)
        with _at(path):
            output = _plain(await _awaitable(fn(), name), name)
        await self._ask(EndStep(path=path, output=output))
        return output

    async def _ask(self, asked: Asked) -> Any:
        return await self._link.answer(self._link.request(asked))


@contextmanager
def _at(path: str) -> Iterator[None]:
    token = current_path.set(path)
    try:
        yield
    finally:
        current_path.reset(token)


async def _all(work: Sequence[Awaitable[None]]) -> None:
    """Await all. The first exception cancels the rest and is raised by itself, not in a group."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        await cancel_and_wait(*tasks)


@contextmanager
def _setting_on_error(flag: threading.Event) -> Iterator[None]:
    try:
        yield
    except NotFinished:  # later ones may be finished
        raise
    except BaseException:
        flag.set()
        raise


def _results(futures: "Sequence[Future[Value | None]]") -> list[Value]:
    """Returns all values, or raises the exception that ended the map. Without an exception, no part was skipped.

    In a tool's `partial`, the values of finished parts.
    """
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None and not isinstance(error, NotFinished):
            raise error
    return [cast("Value", future.result()) for future, error in zip(futures, errors, strict=True) if error is None]


def _completion(completed: Completed | None) -> Completion:
    if completed is None:
        raise NotFinished("The model had not answered when the call was stopped.")
    return Completion(completed.text, completed.input_tokens, completed.output_tokens)


def _awaitable(value: Awaitable[Value], name: str) -> Awaitable[Value]:
    if not inspect.isawaitable(value):
        raise ToolMisused(f"the function of {name!r} returned {value!r:.60}: make it `async def`, as its tool is")
    return value


def _plain(value: object, name: str) -> Any:
    try:
        return plain(value)
    except NotJson as error:
        raise NotJson(f"{error}, in the value of {name!r}") from error


def _under(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def _path_name(name: str) -> str:
    if not name or len(name) > MAX_NAME:
        raise ToolMisused(f"the step's name is {name[:40]!r}: it must have 1 to {MAX_NAME} characters")
    return name.replace("%", "%25").replace("/", "%2F")


def _limit(limit: int) -> int:
    if limit < 1:
        raise ToolMisused(f"the limit of a map is {limit!r}: it must be at least 1")
    return limit


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _limit_rate(requests_per_minute: float | None, tokens_per_minute: float | None) -> LimitRate:
    rates = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    for name, rate in rates.items():
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ToolMisused(f"{name} is {rate!r}: pass a number above 0, or None for no limit")
    return LimitRate(**rates)


def _number(value: float) -> float:
    """Returns a plain int or float: authors pass numpy numbers."""
    return int(value) if float(value).is_integer() else float(value)
