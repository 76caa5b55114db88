"""Processes found by what their environment says, so that orphans are found too."""

import os
import signal
import time
from pathlib import Path

PROC = Path("/proc")


def marked(marker: str, command: str = "") -> list[int]:
    """Ids of living processes with `marker` (NAME=value) in their environment and `command` in their command line."""
    own = os.getpid()
    candidates = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return sorted(pid for pid in candidates if pid != own and _matches(pid, marker, command))


def _matches(pid: int, marker: str, command: str) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        arguments = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:  # ended meanwhile, or another user's
        return False
    return marker.encode() in environment and command.encode() in arguments and not is_dead(pid)


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that nobody has reaped yet."""
    try:
        state = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_all(marker: str) -> None:
    """Ends every marked process, those started meanwhile too."""
    deadline = time.monotonic() + 30
    while pids := marked(marker):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes {pids} survive SIGKILL")
        for pid in pids:
            send(pid, signal.SIGKILL)
        time.sleep(0.02)
