"""The demo is run as a person runs it."""

import asyncio
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


async def test_the_demo_breaks_the_tour_in_every_way_and_nothing_is_lost() -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "scripts" / "demo"), "--seconds", "20"), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(run.communicate(), 240)
    report = dict(re.findall(r"^  (\S.*?)\s{2,}(.+)$", said.decode(), re.MULTILINE))
    assert run.returncode == 0, said.decode()
    assert report["The tour ended"] == "completed"
    assert report["Finished pages read again"] == "0"
    assert report["Both viewers saw the same"] == "yes"
    assert report["Events lost or doubled"] == "none"
    assert re.match(r"after [\d.]+ s with \d+ steps kept", report["Continued"])
