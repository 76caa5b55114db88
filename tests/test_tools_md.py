"""docs/tools.md cannot lie: its examples are tools that load, and the calls on the page give what the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.errors import ToolError, ToolIncomplete
from toolkit.handler import Completed
from toolkit.mcp_servers import read_servers
from toolkit.pool import HostPool
from toolkit.registry import load_tools

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tools.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TESTS = [code for language, code in BLOCKS if language == "python" and "def test_" in code]
TOOLS = [code for language, code in BLOCKS if language == "python" and code not in TESTS]
SESSIONS = [text for language, text in BLOCKS if language == "text"]

on_one_loop = pytest.mark.asyncio(loop_scope="module")


@dataclass(kw_only=True)
class Shown:
    """One call on the page, and the lines below it."""

    tool: str
    arguments: dict[str, Any]
    lines: list[str] = field(default_factory=list)


class Reader(RecordingHandler):
    """The worker behind the page's calls, with a model that knows what a good review is."""

    async def complete(self, path: str, instruction: str, material: str) -> Completed:
        if path not in self.finished:
            self.completions[path] = (instruction, material)
            self.finished[path] = "yes" if material == "Great!" else "no"
        return Completed(text=self.finished[path], input_tokens=8, output_tokens=1)


def calls(session: str) -> list[Shown]:
    found: list[Shown] = []
    for line in session.splitlines():
        if match := re.fullmatch(r"> (\w+) (\{.*\})", line):
            found.append(Shown(tool=match[1], arguments=json.loads(match[2])))
        else:
            found[-1].lines.append(line)
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's tools, a file each."""
    place = tmp_path_factory.mktemp("page")
    for number, code in enumerate(TOOLS):
        (place / f"example_{number}.py").write_text(code)
    return place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(directory: Path) -> AsyncIterator[HostPool]:
    async with HostPool([directory], spare_hosts=0) as pool:
        yield pool


def test_the_page_shows_a_call_of_each_tool_and_a_tool_for_each_call(directory: Path) -> None:
    registry = load_tools([directory])
    assert registry.problems == ()
    assert set(registry.tools) == {call.tool for session in SESSIONS for call in calls(session)}


def test_the_examples_pass_lint_and_types(directory: Path) -> None:
    lint = ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "ASYNC251"]  # the one that blocks
    for check in (lint, ["mypy", "--strict"]):
        command = [sys.executable, "-m", *check, str(directory)]
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_file_of_mcp_servers_is_read_as_it_is_shown(tmp_path: Path) -> None:
    [shown] = [text for language, text in BLOCKS if language == "json"]
    (tmp_path / "servers.json").write_text(shown)
    servers, problems = read_servers(tmp_path / "servers.json")
    assert [server.name for server in servers] == ["clock", "wiki"]
    assert problems == []


@on_one_loop
@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: calls(session)[0].tool)
async def test_a_call_gives_what_the_page_says(pool: HostPool, tmp_path: Path, session: str) -> None:
    (tmp_path / "notes.txt").write_text("one\ntwo\nthree\n")
    reader = Reader(tmp_path)
    for call in calls(session):
        seen = await lines_of(pool, reader, call)
        for line in call.lines:
            assert fits(line, [*seen, *facts(reader)]), f"{line!r} is not in {seen}"


async def lines_of(pool: HostPool, reader: Reader, call: Shown) -> list[str]:
    """What the call gives, as the page would say it."""
    assert reader.folder is not None
    reader.progresses, reader.logs, reader.artifacts = [], [], {}
    arguments = dict(call.arguments)
    if "diary" in arguments:
        arguments["diary"] = str(reader.folder / arguments["diary"])
    try:
        end = f"= {json.dumps(await pool.call(call.tool, arguments, ORIGIN, reader))}"
    except ToolIncomplete as incomplete:
        end = f"incomplete {incomplete.reason}: {json.dumps(incomplete.result)}"
    except ToolError as error:
        end = f"! {error}"
    return [
        *(f"log {level}: {message}" for level, message in reader.logs),
        *(f"progress {done} of {total}: {message}" for done, total, message in reader.progresses),
        *(f"artifact {name}" for name in reader.artifacts),
        end,
    ]


def facts(reader: Reader) -> list[str]:
    assert reader.folder is not None
    files = {file.name: ", ".join(file.read_text().splitlines()) for file in reader.folder.glob("*.txt")}
    return [
        f"asked the model {len(reader.completions)} times",
        *(f"file {name}: {text}" for name, text in files.items()),
    ]


def fits(line: str, seen: list[str]) -> bool:
    """Whether one of them is the line, in which … stands for anything, and a time for any other."""
    line = re.sub(r"for \d+\.\d s", "for … s", line)
    pattern = ".*".join(re.escape(piece) for piece in line.split("…"))
    return any(re.fullmatch(pattern, one) for one in seen)


@on_one_loop
@pytest.mark.parametrize("code", TESTS)
async def test_the_tests_on_the_page_pass(directory: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    for number, tool in enumerate(TOOLS):
        if "def mix(" in tool:
            monkeypatch.setitem(sys.modules, "example_mix", _loaded(directory / f"example_{number}.py"))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/tools.md", "exec"), names)
    shown = {name: test for name, test in names.items() if name.startswith("test_")}
    assert shown
    for test in shown.values():
        await test()


def _loaded(path: Path) -> ModuleType:
    module = ModuleType("example_mix")
    exec(compile(path.read_text(), str(path), "exec"), vars(module))
    return module
