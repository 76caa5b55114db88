"""The real laptop server as a subprocess: started, killed, restarted and looked at from outside."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from jobs import JobClient
from jobs.sqlite import SqliteStore
from jobs.wake import DatagramWake
from tests import processes
from tests.ports import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
FIXTURE_TOOLS = ROOT / "tests" / "fixture_tools"
PRELOAD = ROOT / "tests" / "preload"
LAPTOP = ("chainlit", "run", "app.py", "--headless")
PRODUCTION = ("uvicorn", "asgi:app")
START_SECONDS = 120
NOISE = (
    "Traceback (most recent call last)",
    "Task exception was never retrieved",
    "Task was destroyed",
    "was never awaited",
    "Exception in ASGI",
    "Unclosed",
    " ERROR ",
)
LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (web|worker|tool)\[\d+\] (DEBUG|INFO|WARNING|ERROR) \S|\{")
"""How a line of the log begins, as text or as JSON (docs/logs.md)."""


class Server:
    """One data directory and the processes that serve it. `folder` must be empty."""

    def __init__(self, folder: Path, environment: dict[str, str], *, production: bool = False) -> None:
        """`production`: by `uvicorn asgi:app` instead of `chainlit run`."""
        self._production = production
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = folder / "data"
        self.log_file = folder / "server.log"
        self.expected_noise: tuple[str, ...] = ()
        self._marker = f"HOME={folder}"  # tool hosts get no variable of ours
        self._app_root = folder / "app"
        self.environment = self._clean_environment(folder) | environment
        self._web: subprocess.Popen[bytes] | None = None

    def _clean_environment(self, folder: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(PRELOAD),
            # Chainlit keeps uploads under its root and deletes them all when it ends: servers must not share one.
            "CHAINLIT_APP_ROOT": str(self._app_root),
            "LONGHAUL_DATA_DIR": str(self.data_dir),
            "LONGHAUL_TOOL_DIRS": os.pathsep.join([str(ROOT / "tools"), str(FIXTURE_TOOLS)]),
            "LONGHAUL_WORKER_TTL_SECONDS": "3",
            "LONGHAUL_DRAIN_SECONDS": "2",
        }

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self, **environment: str) -> None:
        """Starts the web process; returns when it serves and its worker is there. Extra variables last for this start.

        With LONGHAUL_EMBEDDED_WORKERS=0 it starts in half the processor time, for tests whose jobs need not run.
        """
        await asyncio.to_thread(self._copy_app_root)
        self._web = await asyncio.to_thread(self._spawn, environment)
        await until(self._serves, within=START_SECONDS, what=f"the server answers; its log: {self.log()[-2000:]}")
        if (self.environment | environment).get("LONGHAUL_EMBEDDED_WORKERS") != "0":
            await self.workers_ready()

    def _copy_app_root(self) -> None:
        for name in (".chainlit", "public"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self._app_root / name, dirs_exist_ok=True)
        for page in ROOT.glob("chainlit*.md"):
            shutil.copy(page, self._app_root)

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        program, *options = PRODUCTION if self._production else LAPTOP
        command = [str(Path(sys.executable).with_name(program)), *options, "--port", str(self.port)]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _serves(self) -> bool:
        assert self._web is not None
        if self._web.poll() is not None:
            raise AssertionError(f"the server ended with {self._web.returncode}; its log: {self.log()[-2000:]}")
        try:
            return (await self.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    async def workers_ready(self, count: int = 1) -> None:
        await until(
            lambda: self._workers_at_least(count),
            within=START_SECONDS,
            what=f"{count} workers; the server's log: {self.log()[-2000:]}",
        )

    async def _workers_at_least(self, count: int) -> bool:
        answer: dict[str, Any] = (await self.get("/readyz")).json()
        return bool(answer["workers"] >= count)

    def web_runs(self) -> bool:
        return self._web is not None and self._web.poll() is None

    def kill_web(self) -> None:
        """kill -9 of the web process alone."""
        assert self._web is not None
        self._web.kill()
        self._web.wait()

    def terminate_web(self) -> None:
        self.signal_web(signal.SIGTERM)

    def signal_web(self, number: signal.Signals) -> None:
        assert self._web is not None
        self._web.send_signal(number)

    def ended(self, within: float = 60) -> int:
        """Waits for the web process to end; its exit code."""
        assert self._web is not None
        return self._web.wait(within)

    def kill_everything(self) -> None:
        """kill -9 of web, workers and tool hosts."""
        processes.kill_all(self._marker)
        if self._web is not None:
            self._web.wait()

    def stop(self) -> None:
        """Ends the web process as a person would, by SIGTERM, then whatever is left."""
        try:
            if self.web_runs():
                self.terminate_web()
                code = self.ended()
                assert code == 0, f"SIGTERM ended the server with {code}"
        finally:
            self.kill_everything()

    # -- workers ------------------------------------------------------------------------------------------------

    def workers(self) -> list[int]:
        """Process ids of the living workers, orphans too."""
        return processes.marked(self._marker, "worker.py")

    def processes(self) -> list[int]:
        """Process ids of all that lives: web, workers and tool hosts."""
        return processes.marked(self._marker)

    def hosts(self) -> list[int]:
        """Process ids of the living tool hosts."""
        return processes.marked(self._marker, "toolkit.host")

    def kill_workers(self) -> list[int]:
        """kill -9 of every worker; returns the ids they had."""
        return self.signal_workers(signal.SIGKILL)

    def signal_workers(self, number: signal.Signals) -> list[int]:
        pids = self.workers()
        assert pids, "no worker is running"
        for pid in pids:
            processes.send(pid, number)
        return pids

    # -- jobs ---------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def jobs(self) -> AsyncIterator[JobClient]:
        """The jobs' door on the server's own data, for work that no page begins."""
        async with (
            DatagramWake(self.data_dir / "wake") as wake,
            SqliteStore(self.data_dir / "jobs.db", wake) as store,
            JobClient(store, wake) as client,
        ):
            yield client

    # -- views --------------------------------------------------------------------------------------------------

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.get(self.url + path)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def complaints(self) -> list[str]:
        """The lines of the log that are not mere transitions."""
        return [line for line in self.log().splitlines() if " INFO " not in line]

    def check_log(self) -> None:
        """Fails when the log has an ERROR, a traceback or another sign that something was not handled.

        Lines that are not ours fail too, except where tests expect noise: a traceback has such lines.
        """
        noisy = [line for line in self.log().splitlines() if any(sign in line for sign in NOISE)]
        noisy = [line for line in noisy if not any(expected in line for expected in self.expected_noise)]
        assert not noisy, f"{noisy[:3]} in the server's log:\n{self.log()[-4000:]}"
        strange = [] if self.expected_noise else [line for line in self.log().splitlines() if not LINE.match(line)]
        assert not strange, f"{strange[:3]}, which is no line of ours, in the server's log:\n{self.log()[-4000:]}"


def latencies(url: str, until_event: threading.Event) -> list[float]:
    """Seconds each GET took, one after the other on one connection, until the event is set.

    For a thread of its own: what the test does meanwhile must not count as the server's delay.
    """
    taken = []
    with httpx.Client(timeout=30) as client:
        while True:  # once at least, however short the work
            begin = time.perf_counter()
            client.get(url).raise_for_status()
            taken.append(time.perf_counter() - begin)
            if until_event.wait(0.02):
                return taken
