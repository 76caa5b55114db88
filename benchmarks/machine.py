"""Where it was measured: figures of two machines are not comparable, ratios nearly."""

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
    """Of the last minute: what else the machine did when the run began."""
    return os.getloadavg()[0]
