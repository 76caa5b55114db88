"""The commands of `scripts/jobs` and their exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from scripts.terminal.console import show, tell
from scripts.terminal.words import as_json, printable

if TYPE_CHECKING:
    from scripts.terminal.server import Server

# Commands import what only they need, so that the help does not wait for it.

USAGE_CODE = 2
INTERRUPTED_CODE = 130
PIPE_CODE = 141
EPILOG = """\
examples:
  ./scripts/jobs run chat "What does it say about leave?" --file handbook.pdf
  ./scripts/jobs run simulate_portfolio years=30 paths=1000000
  ./scripts/jobs tail job_5f0c          the beginning of an id is enough
  ./scripts/jobs get job_5f0c paths.csv

Only answers go to standard output. A job continues without its terminal: Ctrl-C only stops following it.
--url or LONGHAUL_URL sets the server; LONGHAUL_API_KEY holds the key, if the server requires one.
Exit codes: 0 completed, 1 failed or incomplete, 2 wrong usage or no server, 3 cancelled.
"""

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]
Id = Annotated[str, typer.Argument(metavar="ID", help="the beginning of it is enough")]
File = Annotated[str | None, typer.Argument(metavar="FILE", help="one of the job's files")]
Tool = Annotated[str | None, typer.Argument(metavar="TOOL")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="chat, or the name of an agent or a tool")]
Words = Annotated[list[str] | None, typer.Argument(metavar="WORD", help="the message (- reads it), or name=value …")]
Changes = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="arguments to change")]
Url = Annotated[str | None, typer.Option("--url", envvar="LONGHAUL_URL", help="the server's address")]
Json = Annotated[str | None, typer.Option("--json", metavar="OBJECT", help="a tool's arguments as JSON")]
Detach = Annotated[bool, typer.Option("--detach", help="print the id and exit")]
Thread = Annotated[str | None, typer.Option(metavar="ID", help="the thread that the job belongs to")]
Files = Annotated[list[Path] | None, typer.Option(exists=True, dir_okay=False, metavar="PATH", help="may be repeated")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="PATH", help="- is standard output")]
Force = Annotated[bool, typer.Option("--force", help="replace an existing file")]

app = typer.Typer(
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def before(url: Annotated[str | None, typer.Option(hidden=True)] = None) -> None:
    """Jobs from a terminal, over the HTTP API."""
    if url:
        os.environ["LONGHAUL_URL"] = url


@app.command()
def ls(
    status: Annotated[Status | None, typer.Option()] = None,
    task: Annotated[str | None, typer.Option(help="chat, or the name of an agent or a tool")] = None,
    thread: Thread = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N")] = 20,
    json: Annotated[bool, typer.Option("--json", help="the whole jobs, as JSON")] = False,
    url: Url = None,
) -> None:
    """Your jobs, newest first."""
    from scripts.terminal.listing import table_of

    with session(url) as server:
        jobs = server.jobs(limit, status=status, task=task, thread_id=thread)
        print(as_json(jobs)) if json else show(table_of(jobs))


@app.command()
def tail(id: Id, url: Url = None) -> None:
    """Follow a job from its beginning to its end."""
    from scripts.terminal.watch import watch

    with session(url) as server:
        code = watch(server, server.whole_id(id))
    raise typer.Exit(code)


@app.command()
def get(id: Id, file: File = None, output: Output = None, force: Force = False, url: Url = None) -> None:
    """A job as JSON, or a file that it made."""
    from scripts.terminal.transfers import download, safe_name

    with session(url) as server:
        job_id = server.whole_id(id)
        if file is None:
            with target(output or "-", "job.json", force=force) as stream:
                stream.write(f"{as_json(server.job(job_id))}\n".encode())
        else:
            with target(output or safe_name(file), safe_name(file), force=force) as stream:
                download(server, job_id, file, stream)


@app.command()
def tools(name: Tool = None, url: Url = None) -> None:
    """The tools, or the arguments of one."""
    from toolkit.parameters import parameters_of

    with session(url) as server:
        if name is not None:
            print(as_json(server.tool(name)))
            return
        for tool in server.tools().values():
            arguments = " ".join(one.name for one in parameters_of(tool["parameters"]))
            about = tool["description"].partition("\n")[0]
            print(printable(f"{tool['name']}: {about}\n    {arguments}").rstrip())


@app.command()
def run(
    task: Task,
    words: Words = None,
    file: Files = None,
    thread: Thread = None,
    json: Json = None,
    detach: Detach = False,
    url: Url = None,
) -> None:
    """Start a job and follow it: run chat TEXT, or run TOOL name=value …"""
    from scripts.terminal import bodies

    with session(url) as server:
        body = bodies.beginning(server, task, words or [], json, file or [], thread)
        # With the key, a repeated request to a busy server creates no second job.
        job = server.call("POST", "/api/jobs", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
        code = begun(server, job["id"], detach=detach)
    raise typer.Exit(code)


@app.command()
def retry(id: Id, words: Changes = None, json: Json = None, detach: Detach = False, url: Url = None) -> None:
    """Retry a job that failed, was stopped or is incomplete."""
    from scripts.terminal import bodies

    with session(url) as server:
        job_id = server.whole_id(id)
        body = bodies.retry(server, job_id, words or [], json)
        code = begun(server, server.call("POST", f"/api/jobs/{job_id}/retry", json=body)["id"], detach=detach)
    raise typer.Exit(code)


@app.command()
def stop(id: Id, url: Url = None) -> None:
    """Stop a job."""
    from scripts.terminal import watch

    with session(url) as server:
        tell(watch.stop(server, server.whole_id(id)))


@app.command()
def rm(id: Id, url: Url = None) -> None:
    """Delete a job, its log and its files."""
    with session(url) as server:
        job_id = server.whole_id(id)
        server.call("DELETE", f"/api/jobs/{job_id}")
        tell(f"Deleted {job_id}.")


def begun(server: Server, job_id: str, *, detach: bool) -> int:
    """Prints the id of the new job, and follows it unless detached. Returns the exit code."""
    from scripts.terminal.watch import watch

    if detach:
        print(job_id)
        tell(f"Follow it with: ./scripts/jobs tail {job_id}")
        return 0
    tell(job_id)
    return watch(server, job_id)


@contextlib.contextmanager
def target(output: str, name: str, *, force: bool) -> Iterator[BinaryIO]:
    """Yields the output: standard output for `-`, else a new file, in a folder under the given name."""
    from scripts.terminal.transfers import new_file

    if output == "-":
        yield sys.stdout.buffer
        return
    path = Path(output) / name if Path(output).is_dir() else Path(output)
    with new_file(path, force=force) as file:
        yield file
    tell(f"Wrote {path}.")


@contextlib.contextmanager
def session(url: str | None) -> Iterator[Server]:
    """Yields the server. An error prints a sentence and ends the process with its exit code."""
    from scripts.terminal.server import Refused, Server

    try:
        with Server(url) as server:
            yield server
        sys.stdout.flush()
    except Refused as refusal:
        tell(str(refusal))
        raise typer.Exit(USAGE_CODE) from None
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        tell("Interrupted; ./scripts/jobs ls shows whether a job was started.")
        raise typer.Exit(INTERRUPTED_CODE) from None
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CODE) from None
