"""Describes the machine: figures of two machines cannot be compared, ratios almost can."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

VERSIONS = ("chainlit", "langchain-openai", "openai")


def describe() -> dict[str, object]:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model[1] if model else platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in VERSIONS},
    }


def load_average() -> float:
    """Returns the load average of the last minute, which shows other work on the machine."""
    return os.getloadavg()[0]
