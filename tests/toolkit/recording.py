"""A call handler that keeps in memory what a tool asked for."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import ToolError
from toolkit.handler import AskedOfAgent, CallContext, Completed, Found, Generated, Recorded
from toolkit.uploads import FileInfo


class ModelGone(Exception):
    """Stands for an error of the worker's own, which the pool must raise as it is."""


class RecordingHandler:
    """Answers like a worker; `finished` survives a call, so that giving it to a second one is a resumed job."""

    def __init__(self, folder: Path | None = None, records: dict[str, Any] | None = None) -> None:
        self.folder = folder  # its files are the user's; a file's name is its id
        self.records = {} if records is None else records  # also kept between calls
        self.waits: list[str] = []
        self.progresses: list[tuple[float, float | None, str]] = []
        self.logs: list[tuple[str, str]] = []
        self.plans: list[list[tuple[str, str]]] = []
        self.sources: list[dict[str, Any]] = []
        self.begun: list[str] = []
        self.names: dict[str, str] = {}
        self.finished: dict[str, Any] = {}
        self.completions: dict[str, tuple[str, str]] = {}
        self.rates: list[tuple[float | None, float | None]] = []
        self.artifacts: dict[str, tuple[str, bytes]] = {}
        self.hanging = asyncio.Event()
        self.hang_cancelled = False

    async def wait_for_place(self) -> None:
        self.waits.append("waits")

    async def go_on(self) -> None:
        self.waits.append("goes on")

    async def progress(self, done: float, total: float | None, message: str) -> None:
        self.progresses.append((done, total, message))

    async def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))

    async def plan(self, items: Sequence[tuple[str, str]]) -> None:
        self.plans.append([(text, status) for text, status in items])

    async def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None:
        self.sources.append({"title": title, "url": url, "file_id": file_id, "page": page})

    async def begin_step(self, path: str, name: str) -> Recorded | None:
        if path in self.finished:
            return Recorded(output=self.finished[path])
        self.begun.append(path)
        self.names[path] = name
        return None

    async def put_record(self, key: str, value: Any) -> str:
        self.records[key] = value
        return repr(value)

    async def get_record(self, key: str) -> Any:
        return self.records.get(key)

    async def delete_record(self, key: str) -> None:
        self.records.pop(key, None)

    async def list_records(self, prefix: str) -> list[tuple[str, str]]:
        return [(key, repr(value)) for key, value in self.records.items() if key.startswith(prefix)]

    async def of_agent(self, asked: AskedOfAgent) -> Found | Generated:
        raise ToolError(f"a tool asked for {asked}")

    async def write(self, text: str, place: int, piece: int) -> None:
        raise ToolError(f"a tool wrote {text} at {place}, {piece}")

    async def end_step(self, path: str, output: Any) -> None:
        self.finished[path] = output

    async def complete(self, path: str, instruction: str, material: str) -> Completed:
        if instruction == "hang":
            await self._hang()
        if instruction == "refuse":
            raise ModelGone("The model is out of reach.")
        self.completions[path] = (instruction, material)
        return Completed(text=f"{instruction} {material}", input_tokens=len(material), output_tokens=None)

    async def limit_rate(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self.rates.append((requests_per_minute, tokens_per_minute))

    async def open_file(self, file_id: str) -> FileInfo:
        path = None if self.folder is None else self.folder / file_id
        if path is None or not path.is_file():
            raise ToolError(f"There is no file {file_id!r}.")
        return FileInfo(id=file_id, name=file_id, mime="text/plain", size=path.stat().st_size, path=str(path))

    async def save_artifact(self, name: str, mime: str, path: str) -> None:
        self.artifacts[name] = (mime, Path(path).read_bytes())

    def said(self, text: str) -> bool:
        """Whether a line of the log contains the text."""
        return any(text in message for _, message in self.logs)

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.hang_cancelled = True


ORIGIN = CallContext(thread_id="thread_1", user="ada", idempotency_key="job_1/call:0")
