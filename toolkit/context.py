"""What a tool may ask of the machinery around it: ToolContext for `def`, AsyncToolContext for `async def`."""

import asyncio
import hashlib
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar, cast, get_args

from toolkit import artifacts
from toolkit.completion import Completion
from toolkit.handler import Asked, BeginStep, Complete, Completed, EndStep, LimitRate, Recorded, SaveArtifact
from toolkit.uploads import FileInfo, UploadedFile
from toolkit.wire import plain

Item = TypeVar("Item")
Value = TypeVar("Value")
Level = Literal["info", "warning", "error"]

MAX_NAME = 200
MAX_LOG_LINE = 4000
MAX_PROGRESS_MESSAGE = 300

# Where in the call we are: "" at its top, "part:3" in the fourth part of its first map. Threads of a map copy it.
_place: ContextVar[str] = ContextVar("place", default="")


@dataclass(frozen=True, kw_only=True)
class CallInfo:
    """What a call knows of its origin."""

    thread_id: str | None
    """The conversation."""
    user: str
    idempotency_key: str
    """The same when the call runs again after a crash: pass it to services that take one."""
    files: tuple[FileInfo, ...]
    """Those of the conversation."""
    scratch: str
    """A directory of this run of the call alone; gone when it ends."""
    storage: str
    """A directory of the conversation."""
    named_sites: tuple[str, ...] | None = None
    """What a call by a model may visit; None: a person calls."""
    job: str | None = None
    step: str | None = None
    """The job, and its step that this call is: what the operator finds in the log."""


class Link(Protocol):
    """The context's way to the worker."""

    @property
    def cancelled(self) -> bool: ...

    def request(self, asked: Asked) -> "Future[Any]":
        """Ask the worker; the future gets the reply to what was asked. Raises CallCancelled, NotJson."""

    async def answer(self, request: "Future[Any]") -> Any:
        """Await the reply; giving up tells the worker so."""

    def progress(self, done: float, total: float | None, message: str) -> None: ...

    def log(self, level: str, message: str) -> None: ...

    def interruptible(self) -> AbstractContextManager[None]:
        """This thread belongs to the call: a cancel may interrupt it."""


class _Context:
    """What both contexts share."""

    def __init__(self, link: Link, info: CallInfo) -> None:
        self._link = link
        self._info = info
        self._seen: Counter[str] = Counter()  # how often a numbered or named path was begun
        self._files = [UploadedFile(file.id, file) for file in info.files]

    @property
    def thread_id(self) -> str | None:
        """The conversation the call belongs to."""
        return self._info.thread_id

    @property
    def user(self) -> str:
        """Who called."""
        return self._info.user

    @property
    def idempotency_key(self) -> str:
        """The same whenever this call is run again: give it to services that would otherwise act twice.

        Of one call there is one key: add what tells its requests apart (`f"{ctx.idempotency_key}/{row}"`).
        """
        return self._info.idempotency_key

    @property
    def files(self) -> list[UploadedFile]:
        """The files of the conversation."""
        return list(self._files)

    @property
    def named_sites(self) -> tuple[str, ...] | None:
        """The sites that the user named in this conversation (`example.org`, `example.org:8080`), for a model's call.

        None when the user calls the tool. A tool that fetches addresses refuses a model all other sites: a document
        that tells the model to send something away then reaches nobody.
        """
        return self._info.named_sites

    @property
    def scratch(self) -> Path:
        """An empty directory for the call's temporary files, gone when the call ends in whatever way."""
        return Path(self._info.scratch)

    @property
    def storage(self) -> Path:
        """A directory of the conversation (of the job, when it has none), kept between calls and deleted with it.

        Several calls may use it at once. It is made when it is first asked for.
        """
        if not self._info.storage:
            raise RuntimeError("whoever made this call gave it no storage: see CallContext")
        path = Path(self._info.storage)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled. A loop that calls no other method should look."""
        return self._link.cancelled

    def report_progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the call is. May be called as often as you like: the newest goes out, 20 a second."""
        if not math.isfinite(done) or (total is not None and not math.isfinite(total)):
            raise ValueError(f"progress {done!r} of {total!r}: give finite numbers, or None as the total")
        self._link.progress(_number(done), None if total is None else _number(total), message[:MAX_PROGRESS_MESSAGE])

    def log(self, level: Level, message: str) -> None:
        """A line in the job's log, which the user can read; `level` is 'info', 'warning' or 'error'."""
        if level not in get_args(Level):
            raise ValueError(f"the log level is {level!r}: use 'info', 'warning' or 'error', then the message")
        self._link.log(level, message[:MAX_LOG_LINE])

    def open(self, file: UploadedFile) -> BinaryIO:
        """The file's content, as bytes."""
        return file.open()

    def _step_path(self, name: str) -> str:
        path = _under(_place.get(), f"step:{_path_name(name)}")
        self._seen[path] += 1
        if self._seen[path] > 1:
            raise ValueError(f"two steps are called {name!r}: a step's name is its checkpoint, give each its own")
        return path

    def _map_path(self, map_key: str) -> str:
        if map_key:
            return self._numbered(_under(_place.get(), f"map:{_digest(map_key)}"))
        key = _under(_place.get(), "map")
        number = self._seen[key]
        self._seen[key] += 1
        return _under(_place.get(), f"map:{number}") if number else _place.get()

    def _complete_path(self, instruction: str, material: str) -> str:
        """By content, not by order: a tool that was changed or asks in another order gets no foreign answer."""
        return self._numbered(_under(_place.get(), f"complete:{_digest(instruction, material)}"))

    def _numbered(self, path: str) -> str:
        number = self._seen[path]
        self._seen[path] += 1
        return f"{path}:{number}" if number else path


class ToolContext(_Context):
    """For tools written as `def`. Its methods may be called from any thread of the call.

    A call may run more than once: its host may die, the worker may be killed, the user may retry. It then begins at
    its first line again. What `step`, `map` and `complete` have finished is read back instead of done again; what
    was interrupted in them is done again. So put what is slow, costs money or must not happen twice into a step, keep
    the code between steps quick and harmless, and give services that would act twice the `idempotency_key`.
    """

    def step(self, name: str, fn: Callable[[], Value]) -> Value:
        """Run `fn`, or read back its JSON value when an earlier run of the call has finished it.

        The name is the checkpoint, one step of each name in a place: put into it what the value depends on
        (`f"load {sheet}"`), as a retry may come with other arguments. A step that was interrupted runs again from its
        start; one that raised leaves no checkpoint. The value is what JSON makes of it (tuples become lists).
        """
        return self._checkpointed(self._step_path(name), name, fn)

    def map(
        self, items: Iterable[Item], fn: Callable[[Item], Value], limit: int = 4, name: str = "part", key: str = ""
    ) -> list[Value]:
        """`fn` of every item, `limit` at a time in threads; the values in the items' order.

        Each part is a checkpoint like a step, by its number: when the call runs again, finished parts are read back
        and at most `limit` that were under way are done again. So the items must come in the same order every time.
        With a `key` parts are read back under the same key only: give it when the items depend on arguments that a
        retry may change. The first exception ends the map; parts under way are finished and kept.
        """
        parts = list(items)
        base = self._map_path(key)
        failed = threading.Event()  # no part begins behind a failed one

        def part(index: int, item: Item) -> Value | None:
            if failed.is_set():
                return None
            with self._link.interruptible(), _setting_on_error(failed):
                title = f"{name} {index + 1} of {len(parts)}"
                return self._checkpointed(_under(base, f"part:{index}"), title, partial(fn, item))

        with ThreadPoolExecutor(max_workers=_limit(limit), thread_name_prefix="map") as threads:
            futures = [threads.submit(copy_context().run, part, i, item) for i, item in enumerate(parts)]
        return _results(futures)

    def complete(self, instruction: str, material: str = "") -> Completion:
        """What the model makes of the material by the instruction: a string that knows its tokens.

        Checkpointed by its content, so that the same question is asked once; held to the rates of `limit_rate` and
        of the worker.
        """
        path = self._complete_path(instruction, material)
        completed: Completed = self._ask(Complete(path=path, instruction=instruction, material=material))
        return Completion(completed.text, completed.input_tokens, completed.output_tokens)

    def limit_rate(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        """Hold all later `complete` of this call to these rates, over restarts too. None: no limit of its own."""
        self._ask(_limit_rate(requests_per_minute, tokens_per_minute))

    def save_artifact(self, name: str, data: bytes | str | Path, mime: str | None = None) -> None:
        """Give the user a file: its bytes, or the path of a finished file, which is copied."""
        with artifacts.draft(name, data, self._info.scratch) as path:
            self._ask(SaveArtifact(name=name, mime=mime or artifacts.mime_of(name), path=path))

    def _checkpointed(self, path: str, name: str, fn: Callable[[], Value]) -> Value:
        recorded: Recorded | None = self._ask(BeginStep(path=path, name=name))
        if recorded is not None:
            output: Value = recorded.output
            return output
        with _at(path):
            output = plain(fn())
        self._ask(EndStep(path=path, output=output))
        return output

    def _ask(self, asked: Asked) -> Any:
        return self._link.request(asked).result()


class AsyncToolContext(_Context):
    """For tools written as `async def`. Its awaitable methods may be called from any task of the call.

    A call may run more than once, as ToolContext explains: steps, parts and completions are read back, the rest of
    the code runs again.
    """

    async def step(self, name: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        """Run `fn`, or read back its JSON value when an earlier run of the call has finished it.

        The name is the checkpoint, one step of each name in a place: put into it what the value depends on
        (`f"load {sheet}"`), as a retry may come with other arguments. A step that was interrupted runs again from its
        start; one that raised leaves no checkpoint. The value is what JSON makes of it (tuples become lists).
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
        """`fn` of every item, `limit` at a time; the values in the items' order.

        Checkpoints, order and `key` are as in ToolContext.map. The first exception ends the map and cancels the parts
        under way.
        """
        parts = list(items)
        base = self._map_path(key)
        results: dict[int, Value] = {}
        waiting = iter(enumerate(parts))

        async def work() -> None:
            for i, item in waiting:
                title = f"{name} {i + 1} of {len(parts)}"
                results[i] = await self._checkpointed(_under(base, f"part:{i}"), title, partial(fn, item))

        await _all([work() for _ in range(min(_limit(limit), len(parts)))])
        return [results[i] for i in range(len(parts))]

    async def complete(self, instruction: str, material: str = "") -> Completion:
        """What the model makes of the material by the instruction: a string that knows its tokens.

        Checkpointed by its content, so that the same question is asked once; held to the rates of `limit_rate` and
        of the worker.
        """
        path = self._complete_path(instruction, material)
        completed: Completed = await self._ask(Complete(path=path, instruction=instruction, material=material))
        return Completion(completed.text, completed.input_tokens, completed.output_tokens)

    async def limit_rate(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        """Hold all later `complete` of this call to these rates, over restarts too. None: no limit of its own."""
        await self._ask(_limit_rate(requests_per_minute, tokens_per_minute))

    async def save_artifact(self, name: str, data: bytes | str | Path, mime: str | None = None) -> None:
        """Give the user a file: its bytes, or the path of a finished file, which is copied."""
        with artifacts.draft(name, data, self._info.scratch) as path:
            await self._ask(SaveArtifact(name=name, mime=mime or artifacts.mime_of(name), path=path))

    async def _checkpointed(self, path: str, name: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        recorded: Recorded | None = await self._ask(BeginStep(path=path, name=name))
        if recorded is not None:
            output: Value = recorded.output
            return output
        with _at(path):
            output = plain(await fn())
        await self._ask(EndStep(path=path, output=output))
        return output

    async def _ask(self, asked: Asked) -> Any:
        return await self._link.answer(self._link.request(asked))


@contextmanager
def _at(path: str) -> Iterator[None]:
    token = _place.set(path)
    try:
        yield
    finally:
        _place.reset(token)


async def _all(work: Sequence[Awaitable[None]]) -> None:
    """Await all; the first exception cancels the rest and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _setting_on_error(flag: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        flag.set()
        raise


def _results(futures: "Sequence[Future[Value | None]]") -> list[Value]:
    """All values, or the exception that ended the map: without one no part was left out."""
    for future in futures:
        if error := future.exception():
            raise error
    return [cast("Value", future.result()) for future in futures]


def _under(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def _path_name(name: str) -> str:
    if not name or len(name) > MAX_NAME:
        raise ValueError(f"the step's name is {name[:40]!r}: it must have 1 to {MAX_NAME} characters")
    return name.replace("%", "%25").replace("/", "%2F")


def _limit(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"the limit of a map is {limit!r}: it must be at least 1")
    return limit


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _limit_rate(requests_per_minute: float | None, tokens_per_minute: float | None) -> LimitRate:
    rates = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    for name, rate in rates.items():
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"{name} is {rate!r}: give a number above 0, or None for no limit")
    return LimitRate(**rates)


def _number(value: float) -> float:
    """Plain int or float: authors pass numpy numbers."""
    return int(value) if float(value).is_integer() else float(value)
