"""What processes use: processor time and memory, read from the kernel."""

from __future__ import annotations

import os
import time
from collections import defaultdict

from tests.processes import PROC, marked

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ROLES = {b"worker.py": "worker", b"toolkit.host": "tool hosts"}
WEB = "web"


def cpu_seconds(pid: int) -> float:
    """Of all its threads, ended ones too, to the microsecond; /proc/PID/stat counts hundredths of a second."""
    return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it


def machine_seconds() -> float:
    """Processor time that was used on all cores by whomever, since the machine's start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def role(pid: int) -> str:
    command = (PROC / str(pid) / "cmdline").read_bytes()
    return next((name for part, name in ROLES.items() if part in command), WEB)


def by_role(values: dict[int, float]) -> dict[str, float]:
    """Summed over the processes of each role."""
    sums: defaultdict[str, float] = defaultdict(float)
    for pid, value in values.items():
        sums[role(pid)] += value
    return dict(sums)


def memory(marker: str) -> dict[str, float]:
    """Resident megabytes by role, of the processes with `marker` in their environment."""
    return by_role({pid: resident_megabytes(pid) for pid in marked(marker)})


class Meter:
    """Counts the processor seconds that the marked processes use from now on."""

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._before = self._read()

    def used(self) -> dict[str, float]:
        """By role. What a process used that has ended since is not known any more."""
        return by_role({pid: seconds - self._before.get(pid, 0) for pid, seconds in self._read().items()})

    def _read(self) -> dict[int, float]:
        return {pid: cpu_seconds(pid) for pid in marked(self._marker)}
