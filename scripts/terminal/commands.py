"""The commands of `scripts/jobs` and their exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs import JobEvent
from jobs.events import TERMINAL, JobIncompleteEvent, StepStarted
from names import CHAT, DIRECT_CALL
from scripts.terminal.following import EXIT_CODES, events, follow
from scripts.terminal.screen import Screen
from scripts.terminal.server import KEY, URL, Job, Refused, Server
from scripts.terminal.transfers import download, new_file, safe_name, upload
from scripts.terminal.words import duration, one_line, printable

USAGE_CODE = 2
INTERRUPTED_CODE = 130
PIPE_CODE = 141
STATUSES = ("queued", "in_progress", "completed", "failed", "cancelled", "incomplete")
EPILOG = f"""\
examples:
  scripts/jobs run chat "What does the handbook say about leave?" --file handbook.pdf
  scripts/jobs run simulate_portfolio years=30 paths=1000000
  scripts/jobs tail job_5f0c          the beginning of an id is enough
  scripts/jobs get job_5f0c paths.csv

Only answers go to standard output. A job goes on without its terminal: Ctrl-C only stops following it.
The server is that of --url or {URL}; {KEY} holds the key, if the server requires one.
Exit codes: 0 completed, 1 failed or incomplete, 2 wrong usage or no server, 3 cancelled.
"""

Given = argparse.Namespace
Command = Callable[[Server, Given], int]


def run(words: Sequence[str]) -> int:
    """Runs a command. Returns the exit code."""
    given = parse(words)
    try:
        with Server(given.url) as server:
            command: Command = given.run
            code = command(server, given)
            sys.stdout.flush()
            return code
    except Refused as refusal:
        tell(str(refusal))
        return USAGE_CODE
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        tell("Interrupted; scripts/jobs ls shows whether a job was begun.")
        return INTERRUPTED_CODE
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CODE


def tell(sentence: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(one_line(sentence), file=sys.stderr)


# -- the command line -------------------------------------------------------------------------------------------


def parse(words: Sequence[str]) -> Given:
    parser = _parser()
    given, rest = parser.parse_known_args(words)
    if rest and ("words" not in given or any(word.startswith("-") for word in rest)):
        parser.error(f"unknown: {' '.join(rest)}")
    if rest:  # words after an option
        given.words = [*given.words, *rest]
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/jobs",
        description="Jobs from a terminal, over the HTTP API.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help=argparse.SUPPRESS, default=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("--url", default=argparse.SUPPRESS, help="the server's address")
        command.set_defaults(run=run)
        return command

    _add_readers(add)
    _add_writers(add)
    return parser


Add = Callable[[str, Command, str], argparse.ArgumentParser]


def _add_readers(add: Add) -> None:
    listing = add("ls", list_jobs, "your jobs, newest first")
    listing.add_argument("--status", choices=STATUSES)
    listing.add_argument("--task", help="chat, or a tool's name")
    listing.add_argument("--thread", metavar="ID")
    listing.add_argument("--limit", type=_count, default=20, metavar="N")
    listing.add_argument("--json", action="store_true", help="the whole jobs, as JSON")
    add("tail", tail, "follow a job from its beginning to its end").add_argument("id", metavar="ID")
    get = add("get", get_job, "a job as JSON, or a file that it made")
    get.add_argument("id", metavar="ID")
    get.add_argument("artifact", nargs="?", metavar="FILE")
    get.add_argument("-o", "--output", metavar="PATH", help="where to put it; - is standard output")
    get.add_argument("--force", action="store_true", help="replace a file that is there already")
    add("tools", list_tools, "the tools, or the arguments of one").add_argument("name", nargs="?", metavar="TOOL")


def _add_writers(add: Add) -> None:
    start = add("run", run_job, "begin a job and follow it: run chat TEXT, or run TOOL name=value …")
    start.add_argument("task", metavar="TASK", help="chat, or a tool's name")
    start.add_argument("words", nargs="*", metavar="WORD", help="the message (- reads it), or the tool's arguments")
    start.add_argument("--file", action="append", default=[], metavar="PATH", help="may be repeated")
    start.add_argument("--thread", metavar="ID", help="the thread that the job belongs to")
    again = add("retry", retry, "go on with a job that failed, was stopped or is incomplete")
    again.add_argument("id", metavar="ID")
    again.add_argument("words", nargs="*", metavar="NAME=VALUE", help="arguments to change")
    for command in (start, again):
        command.add_argument("--json", metavar="OBJECT", help="a tool's arguments as JSON")
        command.add_argument("--detach", action="store_true", help="print the id and leave")
    add("stop", stop, "stop a job").add_argument("id", metavar="ID")
    add("rm", remove, "delete a job, its log and its files").add_argument("id", metavar="ID")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


# -- reading ----------------------------------------------------------------------------------------------------


def list_jobs(server: Server, given: Given) -> int:
    jobs = server.jobs(given.limit, status=given.status, task=given.task, thread_id=given.thread)
    if given.json:
        print(json.dumps(jobs, indent=2, ensure_ascii=False))
        return 0
    rows: list[tuple[str, ...]] = [("ID", "STATUS", "TASK", "BEGUN", "TOOK", "")]
    rows += [_row(job) for job in jobs]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(job: Job) -> tuple[str, ...]:
    took = ""
    if job["started_at"]:
        took = duration((job["finished_at"] or time.time()) - job["started_at"])
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(job["created_at"]))
    return job["id"], job["status"], one_line(job["task"], 30), begun, took, one_line(_news(job), 60)


def _news(job: Job) -> str:
    """Returns the job's news in a few words."""
    if job["error"]:
        return str(job["error"]["message"])
    if job["queue_position"]:
        return f"{job['queue_position']} before it"
    progress = job["progress"]
    if progress and job["status"] == "in_progress":
        share = f"{progress['done'] / progress['total']:.0%} " if progress["total"] else ""
        return f"{share}{progress['message']}"
    count = len(job["artifacts"])
    return f"{count} file{'s' * (count > 1)}" if count else ""


def get_job(server: Server, given: Given) -> int:
    job_id = server.whole_id(given.id)
    if given.artifact is None:
        text = json.dumps(server.job(job_id), indent=2, ensure_ascii=False)
        if given.output in (None, "-"):
            print(text)
            return 0
        with new_file(Path(given.output), force=given.force) as file:
            file.write(f"{text}\n".encode())
        return 0
    if given.output == "-":
        download(server, job_id, given.artifact, sys.stdout.buffer, sys.stderr)
        return 0
    path = Path(given.output or safe_name(given.artifact))
    if path.is_dir():
        path /= safe_name(given.artifact)
    with new_file(path, force=given.force) as file:
        download(server, job_id, given.artifact, file, sys.stderr)
    tell(f"Wrote {path}.")
    return 0


def list_tools(server: Server, given: Given) -> int:
    if given.name is not None:
        print(json.dumps(_tool(server, given.name), indent=2, ensure_ascii=False))
        return 0
    from toolkit.parameters import parameters_of  # imported here for the same reason as in _arguments

    for tool in server.tools():
        names = " ".join(one.name for one in parameters_of(tool["parameters"]))
        print(f"{tool['name']}: {printable(tool['description']).partition(chr(10))[0]}\n    {names}".rstrip())
    return 0


def _tool(server: Server, name: str) -> Mapping[str, Any]:
    tools = {str(tool["name"]): tool for tool in server.tools()}
    if name not in tools:
        raise Refused(f"There is no tool {name!r}; choose one of: {', '.join([CHAT, *tools])}.")
    return tools[name]


# -- beginning --------------------------------------------------------------------------------------------------


def run_job(server: Server, given: Given) -> int:
    body = _turn(server, given) if given.task == CHAT else _call(server, given)
    if given.thread:
        body["thread_id"] = given.thread
    # With the key, asking a busy server again makes no second job.
    job = server.call("POST", "/api/jobs", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
    return _begun(server, job, given)


def _turn(server: Server, given: Given) -> dict[str, Any]:
    text = sys.stdin.read() if given.words == ["-"] else " ".join(given.words)
    if given.json is not None:
        raise Refused("A chat has no arguments: leave out --json.")
    if not text.strip() and not given.file:
        raise Refused('Say something: scripts/jobs run chat "TEXT".')
    return {"task": CHAT, "input": text, "files": _uploads(server, given)}


def _call(server: Server, given: Given) -> dict[str, Any]:
    tool = _tool(server, given.task)
    return {"task": given.task, "arguments": _arguments(server, given, tool), "files": _uploads(server, given)}


def _arguments(server: Server, given: Given, tool: Mapping[str, Any]) -> dict[str, Any]:
    from scripts.terminal.arguments import read_arguments  # takes 0.1 s, which ls and tail need not wait for

    return read_arguments(given.words, given.json, tool["parameters"], lambda path: upload(server, path, sys.stderr))


def _uploads(server: Server, given: Given) -> list[str]:
    missing = next((path for path in given.file if not Path(path).is_file()), None)
    if missing is not None:
        raise Refused(f"There is no file {missing!r}.")
    return [upload(server, Path(path), sys.stderr) for path in given.file]


def retry(server: Server, given: Given) -> int:
    job_id = server.whole_id(given.id)
    body = {}
    if given.words or given.json is not None:
        job = server.job(job_id)
        if job["task"] == CHAT:
            raise Refused("A chat has no arguments: retry it without any.")
        tool = _tool(server, job["task"])
        changed = _arguments(server, given, tool)
        body = {"arguments": {**({} if given.json else _first_arguments(server, job_id)), **changed}}
    return _begun(server, server.call("POST", f"/api/jobs/{job_id}/retry", json=body), given)


def _first_arguments(server: Server, job_id: str) -> dict[str, Any]:
    """Returns the arguments with which a tool's job was begun, from its log."""
    with server.stream(f"/api/jobs/{job_id}/events") as pieces:
        for event in events(pieces):
            if isinstance(event.payload, StepStarted) and event.payload.step == DIRECT_CALL:
                return dict(event.payload.input or {})
    return {}


def _begun(server: Server, job: Job, given: Given) -> int:
    if given.detach:
        print(job["id"])
        tell(f"Follow it with: scripts/jobs tail {job['id']}")
        return 0
    tell(job["id"])
    return _follow(server, job["id"])


# -- following --------------------------------------------------------------------------------------------------


def tail(server: Server, given: Given) -> int:
    return _follow(server, server.whole_id(given.id))


def _follow(server: Server, job_id: str) -> int:
    screen = Screen(job_id, out=sys.stdout, err=sys.stderr)
    try:
        for event in follow(server, job_id, screen.notice):
            screen.feed(event)
        screen.end(event, _reason(server, job_id, event))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not garble the message
        screen.close()
        tell(f"The job goes on. Follow it with: scripts/jobs tail {job_id}  Stop it with: scripts/jobs stop {job_id}")
        return INTERRUPTED_CODE
    except Refused:
        screen.close()
        raise
    return EXIT_CODES[TERMINAL[event.type]]


def _reason(server: Server, job_id: str, event: JobEvent) -> str | None:
    """Returns why a job is incomplete: a tool's sentence, or for a code the server's."""
    if not isinstance(event.payload, JobIncompleteEvent):
        return None
    reason = event.payload.reason
    return f"{reason}." if " " in reason else str(server.job(job_id)["error"]["message"])


def stop(server: Server, given: Given) -> int:
    job_id = server.whole_id(given.id)
    before = server.call("POST", f"/api/jobs/{job_id}/cancel")
    if before["status"] in STATUSES[2:] and before["status"] != "cancelled":
        tell(f"{job_id} had ended before: {before['status']}.")
        return 0
    for event in follow(server, job_id, tell):
        last = event
    tell(f"{job_id} is {TERMINAL[last.type]}.")
    return 0


def remove(server: Server, given: Given) -> int:
    job_id = server.whole_id(given.id)
    server.call("DELETE", f"/api/jobs/{job_id}")
    tell(f"Deleted {job_id}.")
    return 0
