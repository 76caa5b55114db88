"""The bodies of the requests that begin and retry jobs."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jobs.events import StepStarted
from names import CHAT, DIRECT_CALL
from scripts.terminal.arguments import read_arguments
from scripts.terminal.following import read_events
from scripts.terminal.server import Refused, Server
from scripts.terminal.transfers import upload

Body = dict[str, Any]


def beginning(
    server: Server, task: str, words: Sequence[str], json: str | None, files: Sequence[Path], thread: str | None
) -> Body:
    """Returns what begins a job, after its files were uploaded. Raises `Refused`."""
    answers = task == CHAT or task in server.agents()
    said = _message(words, json, files) if answers else {"arguments": _arguments(server, task, words, json)}
    place = {"thread_id": thread} if thread else {}
    return {"task": task, **said, "files": [upload(server, path) for path in files], **place}


def _message(words: Sequence[str], json: str | None, files: Sequence[Path]) -> Body:
    text = sys.stdin.read() if words == ["-"] else " ".join(words)
    if json is not None:
        raise Refused("A chat has no arguments: leave out --json.")
    if not text.strip() and not files:
        raise Refused('Say something: ./scripts/jobs run chat "TEXT".')
    return {"input": text}


def _arguments(server: Server, tool: str, words: Sequence[str], json: str | None) -> Body:
    return read_arguments(words, json, server.tool(tool)["parameters"], partial(upload, server))


def retry(server: Server, job_id: str, words: Sequence[str], json: str | None) -> Body:
    """Returns what retries a job, with some arguments changed, or with those of `json` alone. Raises `Refused`."""
    if not words and json is None:
        return {}
    task = server.job(job_id)["task"]
    if task == CHAT or task in server.agents():
        raise Refused("A chat has no arguments: retry it without any.")
    changed = _arguments(server, task, words, json)
    return {"arguments": changed if json else _first_arguments(server, job_id) | changed}


def _first_arguments(server: Server, job_id: str) -> Body:
    """Returns the arguments with which a tool's job was begun, from its log."""
    with server.events(job_id) as response:
        for event in read_events(response):
            if isinstance(event.payload, StepStarted) and event.payload.step == DIRECT_CALL:
                return dict(event.payload.input or {})
    return {}
