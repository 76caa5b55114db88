"""How a shared host's memory grows over its calls: code with a memory leak would otherwise fill the machine."""

import os
from pathlib import Path

SETTLED_CALLS = 10
"""By then a host has loaded what its tools load in their first calls."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Growth:
    """Counts the calls of one host, and the bytes that it holds beyond those of a settled one."""

    def __init__(self, pid: int) -> None:
        self.calls = 0
        self.bytes = 0
        self._pid = pid
        self._settled: int | None = None

    def call_ended(self) -> None:
        self.calls += 1
        held = own_memory(self._pid)
        if self.calls == SETTLED_CALLS:
            self._settled = held
        if self._settled is not None:
            self.bytes = max(0, held - self._settled)


def own_memory(pid: int) -> int:
    """Returns the bytes in memory that no other process shares; 0 when the process is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES
