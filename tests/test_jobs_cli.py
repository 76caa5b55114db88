"""`scripts/jobs` as people use it: a process of its own against the real server."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from scripts.terminal.arguments import read_arguments
from scripts.terminal.following import follow
from scripts.terminal.screen import Screen
from scripts.terminal.server import Refused
from scripts.terminal.server import Server as ApiServer
from scripts.terminal.transfers import LARGE_BYTES, bar, safe_name
from scripts.terminal.words import clipped, duration, printable
from tests.conftest import model_environment
from tests.endpoint import Endpoint, script
from tests.jobs.engine import fields, logged
from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"alice": "the-secret-key-of-alice", "bob": "the-secret-key-of-bob"}
COMMAND = (sys.executable, str(ROOT / "scripts" / "jobs"))
SECONDS = 40


@pytest.fixture(scope="module")
def model() -> Iterator[Endpoint]:
    with Endpoint() as serving:
        yield serving


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, model: Endpoint) -> Iterator[Server]:
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    server = Server(tmp_path_factory.mktemp("cli"), model_environment(model) | {"LONGHAUL_API_KEYS": keys})
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
async def server(kept: Server) -> Server:
    if not kept.log():
        await kept.start()
    return kept


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(server, tmp_path)


class Shell:
    """Somebody's terminal in a folder of its own."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def environment(self, user: str | None) -> dict[str, str]:
        key = {} if user is None else {"LONGHAUL_API_KEY": KEYS.get(user, user)}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LONGHAUL_URL": self.server.url, **key}

    @contextlib.asynccontextmanager
    async def begun(self, *words: str, user: str | None = "alice") -> AsyncIterator[asyncio.subprocess.Process]:
        """The running command; what is left of it at the end is killed."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                *words,
                cwd=self.folder,
                env=self.environment(user),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=hears_ctrl_c,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, *words: str, user: str | None = "alice") -> int:
        async with self.begun(*words, user=user) as process, asyncio.timeout(SECONDS):
            return await process.wait()

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    async def detached(self, *words: str) -> str:
        """The id of a job that is begun and left."""
        assert await self.run("run", *words, "--detach") == 0, self.err
        assert re.fullmatch(r"job_[0-9a-f]{24}\n", self.out)
        return self.out.strip()


def hears_ctrl_c() -> None:
    """As in a terminal. Where the tests run in the background, a child would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def words(count: int, word: str = "w") -> str:
    return "".join(f"{word}{number} " for number in range(count))


async def test_a_chat_prints_its_answer_and_nothing_else_on_standard_output(shell: Shell) -> None:
    assert await shell.run("run", "chat", "tokens=5") == 0
    assert shell.out == f"{words(5)}\n"
    assert re.fullmatch(r"job_[0-9a-f]{24}\nCompleted in \d+ s\.\n", shell.err)


async def test_options_may_stand_anywhere_and_files_come_along(shell: Shell) -> None:
    (shell.folder / "notes.txt").write_text("some words")
    assert await shell.run("run", "chat", "--file", "notes.txt", "tokens=2", "--thread", "thread_cli") == 0, shell.err
    assert shell.out == f"{words(2)}\n"
    assert "Uploaded notes.txt (10 bytes)." in shell.err
    assert await shell.run("ls", "--thread", "thread_cli", "--json") == 0
    (job,) = json.loads(shell.out)
    assert (job["task"], job["status"], job["thread_id"]) == ("chat", "completed", "thread_cli")


async def test_arguments_are_read_by_the_tools_schema_and_a_path_is_uploaded(shell: Shell) -> None:
    (shell.folder / "a.txt").write_text("a")
    (shell.folder / "b.txt").write_text("b")
    arguments = ["title=7", "years=12", "loud=true", "tags=x", "tags=1", "papers=a.txt", "papers=b.txt", "report=a.txt"]
    assert await shell.run("run", "describe_all", *arguments, "--json", '{"style": "long", "years": 3}') == 0, shell.err
    assert shell.out == "7: 12, 0.5, long, None, ['x', '1'], True, a.txt, ['a.txt', 'b.txt'], None\n"


async def test_what_is_typed_wrong_is_told_in_one_sentence(shell: Shell) -> None:
    for line, sentence in [
        (["run", "halve", "number=many"], "arguments.number: Must be a whole number."),
        (["tail", "job_000000000000000000000000"], "There is no job"),
        (["ls", "--url", "nowhere"], "'nowhere' is not the address of a server"),
        (["ls", "--url", "http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer: start the server"),
    ]:
        assert await shell.run(*line) == 2
        assert shell.err.startswith(sentence), shell.err
        assert (shell.err.count("\n"), shell.out) == (1, "")


async def test_progress_log_and_files_are_told_beside_the_answer(shell: Shell) -> None:
    assert await shell.run("run", "draw", "name=my chart") == 0
    assert shell.out == "Drawn.\n"
    job_id = shell.err.split()[0]
    assert f"Made my chart.csv (19 bytes): ./scripts/jobs get {job_id} 'my chart.csv'\n" in shell.err
    for code in (0, 2):
        assert await shell.run("get", job_id[:16], "my chart.csv") == code
    assert shell.err == "'my chart.csv' exists already: choose another name with -o, or pass --force.\n"
    assert (shell.folder / "my chart.csv").read_text() == "word,count\nword0,0\n"
    assert await shell.run("get", job_id, "my chart.csv", "-o", "-") == 0
    assert shell.out == "word,count\nword0,0\n"
    assert await shell.run("get", job_id, "my chart.csv", "--force") == 0
    assert await shell.run("get", job_id, "other.csv", "-o", "x") == 2
    assert {path.name for path in shell.folder.iterdir()} == {"my chart.csv", "out", "err"}


async def test_a_failed_job_ends_with_1_and_its_retry_with_other_arguments_with_0(shell: Shell) -> None:
    assert await shell.run("run", "describe_all", "title=unlucky", "years=9") == 1
    assert shell.out == ""
    job_id = shell.err.split()[0]
    assert (
        f"Failed: This title brings bad luck; choose another one. Retry with: ./scripts/jobs retry {job_id}"
        in shell.err
    )
    assert await shell.run("retry", job_id, "title=lucky") == 0
    assert shell.out.startswith("lucky: 9, ")


async def test_a_stopped_job_ends_with_3_for_who_follows_and_can_be_deleted(shell: Shell, tmp_path: Path) -> None:
    job_id = await shell.detached("note_slowly", f"file={tmp_path / 'notes'}", "text=x", "seconds=60")
    other = Shell(shell.server, tmp_path / "other")
    other.folder.mkdir()
    async with shell.begun("tail", job_id) as following:
        await until(lambda: "note_slowly: " in shell.err, within=SECONDS, what="progress")
        assert await other.run("rm", job_id) == 2
        assert await other.run("stop", job_id) == 0
        assert other.err == f"{job_id} is cancelled.\n"
        assert await following.wait() == 3
    assert "Cancelled; stopped note_slowly in 0." in shell.err
    assert await other.run("ls", "--status", "cancelled", "--limit", "1") == 0
    assert re.search(rf"^{job_id}  cancelled  note_slowly ", other.out, re.MULTILINE)
    assert await other.run("rm", job_id) == 0
    assert await other.run("tail", job_id) == 2


async def test_a_key_is_needed_and_opens_only_ones_own_jobs(shell: Shell) -> None:
    job_id = await shell.detached("chat", "tokens=1")
    assert await shell.run("tail", job_id, user=None) == 2
    assert shell.err == "The server requires a key: put it into the variable LONGHAUL_API_KEY.\n"
    assert await shell.run("tail", job_id, user="wrong-key") == 2
    assert shell.err == "The server does not know the key in LONGHAUL_API_KEY.\n"
    for command in ("tail", "stop"):
        assert await shell.run(command, job_id, user="bob") == 2
        assert shell.err == f"There is no job {job_id!r}.\n"
    assert await shell.run("ls", "--json", user="bob") == 0
    assert json.loads(shell.out) == []


async def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(shell: Shell, model: Endpoint) -> None:
    asked = script(tokens=20, hold=10)
    async with shell.begun("run", "chat", asked) as process:
        await until(lambda: "w9 " in shell.out, within=SECONDS, what="half of the answer")
        process.send_signal(signal.SIGINT)
        await until(lambda: "The job continues" in shell.err, within=SECONDS, what="the farewell")
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    job_id, *_, last = shell.err.splitlines()
    assert last == (f"The job continues. Follow it: ./scripts/jobs tail {job_id} Stop it: ./scripts/jobs stop {job_id}")
    model.release(asked)
    assert await shell.run("tail", job_id) == 0
    assert shell.out == f"{words(20)}\n"


async def test_a_reader_that_has_enough_ends_it_without_a_word(shell: Shell, model: Endpoint) -> None:
    command = [*COMMAND, "run", "chat", script(tokens=30, hold=10)]
    process = await asyncio.create_subprocess_exec(
        *command, env=shell.environment("alice"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.read(3) == b"w0 "
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # the reader leaves
        model.release(command[-1])
        said = (await process.stderr.read()).decode()
        assert await process.wait() == 141
    assert re.fullmatch(r"job_[0-9a-f]{24}\n", said)


async def test_a_restarted_server_and_a_lost_worker_cost_no_word_and_double_none(shell: Shell, model: Endpoint) -> None:
    asked = script(tokens=40, hold="10,20")
    async with shell.begun("run", "chat", asked) as process:
        await until(lambda: "w9 " in shell.out, within=SECONDS, what="the first words")
        shell.server.kill_web()
        await until(lambda: "The connection is lost" in shell.err, within=SECONDS, what="the loss is told")
        await shell.server.start()
        await until(lambda: "Connected again." in shell.err, within=SECONDS, what="the return is told")
        model.release(asked)
        await until(lambda: "w19 " in shell.out, within=SECONDS, what="more words")
        shell.server.kill_workers()
        model.release(asked)
        assert await process.wait() == 0, shell.err
    assert shell.out == f"{words(40)}\n"
    assert "another one continues from the last finished step." in shell.err


# -- without a server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text", "sentence"),
    [
        (["nmber=2"], None, "'nmber=2' is not an argument of the tool, whose arguments are: number=…, paper=…."),
        (["number"], None, "'number' is not an argument of the tool"),
        (["number=1", "number=2"], None, "number takes one value, not 2."),
        (["paper=none.txt"], None, "paper: there is no file 'none.txt'."),
        ([], "[]", "--json takes a JSON object"),
        ([], "{", "--json takes a JSON object"),
    ],
)
def test_arguments_that_no_tool_takes_are_refused_before_anything_is_uploaded(
    words: list[str], text: str | None, sentence: str
) -> None:
    paper = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/File"}]}
    file = {"type": "string", "format": "file-id"}
    schema = {"properties": {"number": {"type": "integer"}, "paper": paper}, "$defs": {"File": file}}
    with pytest.raises(Refused, match=re.escape(sentence)):
        read_arguments(
            ["paper=file_1", *words] if "paper=none.txt" not in words else words,
            text,
            schema,
            lambda path: pytest.fail(f"{path} is uploaded"),
        )


def test_lists_of_words_and_files_are_typed_with_commas_or_one_by_one(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pdf", tmp_path / "b, c.pdf"
    for path in (first, second):
        path.touch()
    texts = {"type": "array", "items": {"type": "string"}}
    files = {"type": "array", "items": {"type": "string", "format": "file-id"}}
    schema = {"properties": {"tags": texts, "files": files, "more": files}}
    typed = ["tags=x,y", "tags=z", f"files={first},file_1", f"more={first}", f"more={second}"]
    assert read_arguments(typed, None, schema, lambda path: f"id of {path.name}") == {
        "tags": ["x", "y", "z"],
        "files": ["id of a.pdf", "file_1"],
        "more": ["id of a.pdf", "id of b, c.pdf"],
    }
    with pytest.raises(Refused, match=re.escape("files: there is no file 'none.txt'.")):
        read_arguments([f"files={first},none.txt"], None, schema, lambda path: pytest.fail(f"{path} is uploaded"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """All that was ever written, without the sequences that steer a terminal."""
        return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.getvalue())

    @property
    def is_clean(self) -> bool:
        """Whether bars were drawn, and the last one was erased."""
        return 0 <= self.getvalue().rfind("━") < self.getvalue().rfind("\x1b[2K")


@pytest.fixture
def _able_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


Line = tuple[str, dict[str, object]]
BEGUN: Line = ("step.started", {"step": "model:1", "name": "m", "kind": "model", "attempt": 1})
TOOL: Line = ("step.started", {"step": "call:0", "name": "work", "kind": "tool", "attempt": 1})


def says(text: str) -> Line:
    return "text.delta", {"step": "model:1", "text": text}


def progress(done: int) -> Line:
    return "progress", {"step": "call:0", "done": done, "total": 10, "message": "[red]on\x1b[2J it"}


def shown(*lines: Line, out: io.StringIO, err: io.StringIO) -> None:
    """A second passes between two events."""
    screen = Screen("job_x", out=out, err=err)
    for seq, (kind, data) in enumerate(lines, start=1):
        event = logged(seq, kind, data, at=float(seq))
        screen.feed(event)
    screen.end(event, None)


COMPLETED: Line = ("job.completed", {"result": {"text": ""}, "usage": None})


@pytest.mark.parametrize(
    ("again", "printed", "is_told"),
    [
        (["one ", "two ", "three"], "one two three\n", False),
        (["one ", "2 ", "3"], "one two \none 2 3\n", True),
        (["one "], "one two \none \n", True),
        ([], "one two \n", True),
    ],
)
def test_a_resumed_steps_words_are_printed_once_when_they_are_the_same_and_anew_when_not(
    again: list[str], printed: str, is_told: bool
) -> None:
    out, err = io.StringIO(), io.StringIO()
    ended: Line = ("step.finished", {"step": "model:1", "seconds": 1.0})
    shown(BEGUN, says("one "), says("two "), BEGUN, *map(says, again), ended, COMPLETED, out=out, err=err)
    assert out.getvalue() == printed
    assert ("is withdrawn" in err.getvalue()) is is_told


@pytest.mark.usefixtures("_able_terminal")
def test_a_terminal_gets_bars_with_the_time_left_which_go_away_and_what_others_wrote_cannot_steer_it() -> None:
    out, err = Terminal(), Terminal()
    shown(BEGUN, says("a\x1b]0;b"), TOOL, progress(0), progress(2), COMPLETED, out=out, err=err)
    assert out.getvalue() == "a]0;b\n"
    assert re.search(r"work  ━+[╸╺]━+   20%  4 s left  \[red\]on\[2J it", err.text)
    assert "\x1b[2J" not in err.getvalue()
    assert err.is_clean
    assert err.getvalue().endswith("\x1b[2KCompleted in 0 s.\n")


def test_without_a_terminal_progress_is_told_now_and_then_in_lines() -> None:
    out, err = io.StringIO(), io.StringIO()
    shown(TOOL, *(progress(done) for done in range(11)), COMPLETED, out=out, err=err)
    told = [line for line in err.getvalue().splitlines() if line.startswith("work: ")]
    assert [line.split(":")[1] for line in told] == [" 3 of 10, 7 s left", " 8 of 10, 2 s left", " 10 of 10, 0 s left"]
    assert "\x1b" not in err.getvalue()


@pytest.mark.usefixtures("_able_terminal")
def test_a_large_file_has_a_bar() -> None:
    err = Terminal()
    with bar(LARGE_BYTES, err) as progress:
        progress.advance(progress.add_task("[red].csv", total=LARGE_BYTES), LARGE_BYTES // 2)
    assert re.search(r"\[red\]\.csv ━+[╸╺]━+  50% 1\.0/2\.0 MB ", err.text)
    assert err.is_clean


def test_a_terminal_without_colours_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out, err = Terminal(), Terminal()
    shown(TOOL, progress(0), progress(10), COMPLETED, out=out, err=err)
    assert err.getvalue() == "work …\nwork: 10 of 10, 0 s left: [red]on[2J it\nCompleted in 0 s.\n"


def test_names_and_times_are_safe_and_short() -> None:
    names = ["../../.bashrc", "a/b.csv", "C:\\x.txt", "", "..", "-rf", "a\nb\x1b.csv"]
    assert [safe_name(name) for name in names] == ["bashrc", "b.csv", "x.txt", "artifact", "artifact", "rf", "ab.csv"]
    assert [duration(seconds) for seconds in (0.4, 59, 185, 7209)] == ["0 s", "59 s", "3:05", "2:00:09"]
    assert clipped("日本語", 5) == "日本…"
    assert printable("a\r\x1b[31m\tb\n") == "a[31m\tb\n"


class Cutting(BaseHTTPRequestHandler):
    """Answers from `answers`, whose bodies break off; notes where each request wanted to begin."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    begun: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.begun.append(self.headers["Last-Event-ID"])
        status, body = self.answers[len(self.begun) - 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + 1))
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def test_a_cut_in_mid_event_is_gone_on_behind_the_last_whole_one_and_what_comes_twice_counts_once() -> None:
    text = {"type": "text.delta", "at": 1.0, "step": "model:1", "text": "\u2028"}
    failed = {"type": "job.failed", "at": 1.0, "error": {"code": "x", "message": "No."}}
    events = [{"seq": 1, **text}, {"seq": 2, **text}, {"seq": 3, **failed}]
    first, second, third = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events]
    Cutting.answers = [(200, b": ping\n\n" + first + second[:20]), (503, b""), (200, first + second), (200, third)]
    told: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Cutting) as cutting:
        serving = threading.Thread(target=cutting.serve_forever, args=(0.01,))
        serving.start()
        try:
            with ApiServer(f"http://127.0.0.1:{cutting.server_port}") as server:
                assert [fields(event) for event in follow(server, "job_x", told.append)] == events
        finally:
            cutting.shutdown()
            serving.join()
    assert Cutting.begun == ["0", "1", "1", "2"]
    assert told == ["The connection is lost; the job continues. Trying again …", "Connected again."] * 2
