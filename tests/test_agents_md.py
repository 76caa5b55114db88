"""docs/agents.md cannot lie: its examples are agents that load, and a message gets the answer that the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from jobs.errors import JobFailed
from tests.endpoint import Endpoint
from tests.models.desk import Desk, open_desk, settings_for
from toolkit.pool import HostPool
from toolkit.registry import load_tools

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "agents.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TESTS = [code for language, code in BLOCKS if language == "python" and "def test_" in code]
AGENTS = [code for language, code in BLOCKS if language == "python" and "@agent" in code and code not in TESTS]
PUBLISH = '''
from toolkit import tool


@tool
def publish(text: str) -> str:
    """Publish a text."""
    return "-".join(text.split())


@tool
def search_documents(query: str) -> str:
    """Search."""
    return f"nothing about {query}"
'''

on_one_loop = pytest.mark.asyncio(loop_scope="module")


class Shown(NamedTuple):
    """A message on the page, and what comes back."""

    agent: str
    text: str
    settings: dict[str, Any]
    answer: str


def shown() -> list[Shown]:
    found = []
    for said, answer in re.findall(r"^> (.*)\n([=!] .*)$", PAGE, re.MULTILINE):
        agent, text, settings = re.fullmatch(r"(\w+) (.*?)(?: (\{.*\}))?", said).groups()  # type: ignore[union-attr]
        found.append(Shown(agent, text, json.loads(settings or "{}"), answer))
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's agents, a file each."""
    place = tmp_path_factory.mktemp("page")
    for number, code in enumerate(AGENTS):
        (place / f"example_{number}.py").write_text(code)
    return place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(directory: Path) -> AsyncIterator[HostPool]:
    async with HostPool([directory], kind="agent", spare_hosts=0) as pool:
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tools(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostPool]:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "publishing.py").write_text(PUBLISH)
    async with HostPool([folder], spare_hosts=0) as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="module")
async def desk(endpoint: Endpoint, tmp_path: Path, tools: HostPool, agents: HostPool) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, settings_for(endpoint.url), tools, agents) as desk:
        yield desk


def test_the_page_shows_an_answer_of_each_agent(directory: Path) -> None:
    registry = load_tools([directory], "agent")
    assert registry.problems == ()
    assert set(registry.tools) == {one.agent for one in shown()}


def test_the_readme_s_agent_loads(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## Bring your own agent")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    (tmp_path / "support.py").write_text(code)
    registry = load_tools([tmp_path], "agent")
    assert (registry.problems, set(registry.tools)) == ((), {"support"})


def test_the_examples_pass_lint_and_types(directory: Path) -> None:
    for check in (
        ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "S311"],
        ["mypy", "--strict"],
    ):
        command = [sys.executable, "-m", *check, str(directory)]
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@on_one_loop
@pytest.mark.parametrize("one", shown(), ids=lambda one: one.agent)
async def test_a_message_gets_the_answer_that_the_page_says(desk: Desk, one: Shown) -> None:
    ctx = await desk.submit(one.text, task=one.agent, agent=True, arguments=one.settings)
    try:
        said = f"= {(await desk.run(ctx))['text'].strip()}"
    except JobFailed as failure:
        said = f"! {failure.message}"
    pattern = ".*".join(map(re.escape, one.answer.split("…"))) if one.agent == "lottery" else re.escape(one.answer)
    assert re.fullmatch(pattern, said)


async def test_the_tests_on_the_page_pass() -> None:
    names: dict[str, Any] = {}
    for code in TESTS:
        exec(compile(code, "docs/agents.md", "exec"), names)
    shown = {name: test for name, test in names.items() if name.startswith("test_")}
    assert shown
    for test in shown.values():
        await test()
