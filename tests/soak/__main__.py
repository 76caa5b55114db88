"""The command: `python -m tests.soak --minutes 60 --seed 1`. Prints what was broken, and what that cost."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.server import Server
from tests.soak.faults import TTL_SECONDS, Faults
from tests.soak.load import Load

WIDTH = 12
DISK_MB = 256
PAUSES = (0.5, 6.0)
"""Between two faults."""
LAST_SECONDS = 240.0
"""For the jobs that run when the last fault is over."""


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """Whether the data dir is a disk of its own, which only root may mount."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(place)]
    is_small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield is_small
    finally:
        if is_small:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


async def soak(minutes: float, seed: int, folder: Path) -> dict[str, object]:
    """Returns the faults and the tally, for `json`."""
    chance, struck, clock = random.Random(seed), Counter[str](), folder / "clock"
    clock.write_text("0")
    (folder / "notes").mkdir()
    with Endpoint() as endpoint:
        environment = model_environment(endpoint) | {
            "LONGHAUL_WORKER_TTL_SECONDS": str(TTL_SECONDS),
            "LONGHAUL_EMBEDDED_WORKERS": "2",
            "TEST_CLOCK_FILE": str(clock),
        }
        server = Server(folder / "server", environment)
        server.data_dir.parent.mkdir()
        with small_disk(server.data_dir) as is_small:
            await server.start()
            try:
                limits = httpx.Limits(max_connections=None)
                async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as http:
                    load = Load(http, chance, folder / "notes", width=WIDTH)
                    faults = Faults(
                        server, chance, clock=clock, cut=load.cut, flood=load.flood, small_disk=is_small
                    ).by_name()
                    ending = asyncio.Event()
                    running = asyncio.create_task(load.run(ending))
                    end = time.monotonic() + minutes * 60
                    while time.monotonic() < end and not running.done():
                        name = chance.choice([*faults])
                        struck[name] += 1
                        tell(f"{name} ({sum(struck.values())}; {sum(load.tally.jobs.values())} jobs have ended)")
                        await faults[name]()
                        await asyncio.sleep(chance.uniform(*PAUSES))
                    ending.set()
                    await asyncio.wait_for(running, LAST_SECONDS)
            finally:
                await asyncio.to_thread(server.kill_everything)
    return {
        "minutes": minutes,
        "seed": seed,
        "disk_filled": is_small,
        "faults": dict(struck.most_common()),
        **load.tally.as_json(),
    }


def tell(words: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {words}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description="Break everything at random, and count what is lost.")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1, help="the order of the faults")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longhaul-soak-") as folder:
        found = asyncio.run(soak(options.minutes, options.seed, Path(folder)))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if found["clean"] else 1


if __name__ == "__main__":
    sys.exit(main())
