"""Reads the processor time and the memory of processes from the kernel."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict

from tests.processes import PROC, marked

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ROLES = {b"worker.py": "worker", b"toolkit.host": "tool hosts"}
WEB = "web"


def cpu_seconds(pid: int) -> float:
    """Returns the seconds of all threads, ended ones too, to the microsecond; /proc/PID/stat counts in hundredths."""
    return time.clock_gettime(~pid << 3 | 2)  # the clock id of clock_getcpuclockid(3)


def machine_seconds() -> float:
    """Returns the processor time of all processes on all cores since the machine's start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def postgres_seconds() -> float:
    """Returns the processor time of the PostgreSQL processes that live on this machine."""
    total = 0.0
    for process in PROC.iterdir():
        with contextlib.suppress(OSError, ValueError):
            if (process / "comm").read_text().startswith("postgres"):
                total += cpu_seconds(int(process.name))
    return total


def resident_megabytes(pid: int) -> float:
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def role(pid: int) -> str:
    command = (PROC / str(pid) / "cmdline").read_bytes()
    return next((name for part, name in ROLES.items() if part in command), WEB)


def by_role(values: dict[int, float]) -> dict[str, float]:
    """Returns the sums over the processes of each role."""
    sums: defaultdict[str, float] = defaultdict(float)
    for pid, value in values.items():
        sums[role(pid)] += value
    return dict(sums)


def memory(marker: str) -> dict[str, float]:
    """Returns the resident megabytes by role of the processes with `marker` in their environment."""
    return by_role({pid: resident_megabytes(pid) for pid in marked(marker)})


class Meter:
    """Counts the processor seconds of the marked processes from now on."""

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._before = self._read()

    def used(self) -> dict[str, float]:
        """Returns the seconds by role, without those of processes that have ended since."""
        return by_role({pid: seconds - self._before.get(pid, 0) for pid, seconds in self._read().items()})

    def _read(self) -> dict[int, float]:
        return {pid: cpu_seconds(pid) for pid in marked(self._marker)}
