"""One worker process: `python worker.py`. `--supervised` is for the web process that starts it as its child."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import starting

starting.begin()

from settings import Settings, ignore_files_of_callers


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one Longhaul worker.")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--alone", metavar="JOB", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.supervised:
        ignore_files_of_callers()
    settings = Settings.load()

    # Imported after the settings, so that a bad value is reported without a second of imports.
    from services import logs
    from services.event_loop import run
    from services.worker import run_worker

    logs.configure(settings, "worker")
    run(run_worker(settings, supervised=options.supervised, alone=options.alone))


if __name__ == "__main__":
    main()
    os._exit(0)
