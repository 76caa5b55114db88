"""The servers that are compared, each run as its users run it: with `chainlit run` and its defaults."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import httpx

from tests import processes
from tests.ports import free_port
from tests.server import NOISE, ROOT, START_SECONDS
from tests.waiting import until

CHAINLIT = str(Path(sys.executable).with_name("chainlit"))
STOP_SECONDS = 20
OURS = (".chainlit", "public")
LEAST_SLOTS = 50
"""Slots of Longhaul's worker, unless a load has more streams."""


def slots_for(streams: Iterable[int]) -> int:
    """Returns enough slots for the streams of the largest load."""
    return max(LEAST_SLOTS, *streams)


class App:
    """`async with App(...)` starts the app, waits until it is ready, and ends it. A `folder` may serve many starts."""

    name = "plain Chainlit"
    entry = "benchmarks/peers/plain_chainlit.py"
    page = "/"
    """Is asked for until it answers."""

    def __init__(self, folder: Path, endpoint_url: str, slots: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.marker = f"HOME={folder}"  # tool hosts receive HOME, but no variable of Longhaul
        self.page_seconds = 0.0
        """From the start of the process to the first response 200 of `/`."""
        self.ready_seconds = 0.0
        """From the start of the process until a message would be worked on."""
        self.folder = folder
        self.slots = slots
        """Slots of each worker."""
        self._log = folder / "server.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "CHAINLIT_APP_ROOT": str(folder / "app"),
            "OPENAI_BASE_URL": endpoint_url,
            "OPENAI_API_KEY": "bench-key",
            "LONGHAUL_MODEL": "bench-model",
            "LONGHAUL_DATA_DIR": str(folder / "data"),
            "LONGHAUL_WORKER_SLOTS": str(slots),
        }

    async def __aenter__(self) -> Self:
        self.prepare()
        begun = time.monotonic()
        self._web = self._spawn()
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=START_SECONDS) as http:
                await until(lambda: self._answers(http), within=START_SECONDS, what=f"{self.name} serves its page")
                self.page_seconds = time.monotonic() - begun
                await until(lambda: self.ready(http), within=START_SECONDS, what=f"{self.name} is ready")
                self.ready_seconds = time.monotonic() - begun
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._web.send_signal(signal.SIGTERM)
        try:
            self._web.wait(STOP_SECONDS)
        finally:
            processes.kill_all(self.marker)
            self._web.wait()

    def prepare(self) -> None:
        """Create the files that the server needs."""
        (self.folder / "app").mkdir(parents=True, exist_ok=True)

    async def ready(self, http: httpx.AsyncClient) -> bool:  # noqa: ARG002  # used by subclasses that have more than a page
        return True

    def ran_with(self) -> dict[str, object]:
        """Returns how the app runs, for readers of the figures."""
        return {}

    def check_log(self) -> None:
        """Raises when the server failed, which would spoil the figures."""
        noisy = [line for line in self._log.read_text(errors="replace").splitlines() if any(n in line for n in NOISE)]
        if noisy:
            raise RuntimeError(f"{self.name} logged {noisy[0]!r}; see {self._log}")

    def command(self) -> list[str]:
        """Returns the command that starts the app."""
        return [CHAINLIT, "run", self.entry, "--headless", "--port", str(self.port)]

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        if self._web.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._web.returncode}: {self._log.read_text()[-2000:]}")
        try:
            return (await http.get(self.page)).status_code == 200
        except httpx.TransportError:
            return False


class Longhaul(App):
    """Longhaul with its defaults: a supervised worker and tool hosts, each event stored."""

    name = "Longhaul"
    entry = "app.py"
    database_url: str | None = None
    """Of the PostgreSQL that all starts use instead of SQLite files."""

    def prepare(self) -> None:
        super().prepare()
        if self.database_url is not None:
            self._environment |= {"DATABASE_URL": self.database_url, "CHAINLIT_AUTH_SECRET": "0" * 32}
        for name in OURS:  # Chainlit clears its root at its end, so that must not be the repository
            shutil.copytree(ROOT / name, self.folder / "app" / name, dirs_exist_ok=True)

    async def ready(self, http: httpx.AsyncClient) -> bool:
        return bool((await http.get("/readyz")).json()["workers"])

    def ran_with(self) -> dict[str, object]:
        return {"workers": len(processes.marked(self.marker, "worker.py")), "slots": self.slots}


class Production(Longhaul):
    """Longhaul by its entry point for servers, which also starts the worker here."""

    name = "Longhaul by uvicorn"

    def prepare(self) -> None:
        super().prepare()
        self._environment["LONGHAUL_EMBEDDED_WORKERS"] = "1"

    def command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("uvicorn")), "asgi:app", "--port", str(self.port)]
