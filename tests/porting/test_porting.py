"""What people have already, as agents of a real server, which loses its worker while each of them answers."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.conftest import model_environment
from tests.endpoint import Endpoint, Request, script
from tests.server import Server
from tests.waiting import until

HERE = Path(__file__).parent
NEEDS = {"graph": "langgraph", "typed": "pydantic_ai"}
"""What authors install for these."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A message whose last model call stands still while the worker dies, and what comes of it."""

    agent: str
    script: str
    answer: str
    finished: int
    """Model calls that were finished before."""
    earlier: str = "(none)"
    """What those asked, unless it was the script."""

    def requests(self, endpoint: Endpoint) -> list[Request]:
        return [*endpoint.requests(self.earlier), *endpoint.requests(self.script)]


CASES = [
    Case(
        agent="forecaster",
        script=script('call weather {"city": "Rome"}', tokens=3, hold=1, hold_turn=1),
        answer="The tool answered: It rains in Rome. w0 w1 w2 ",
        finished=1,
    ),
    Case(agent="librarian", script=script("colour of the sea", tokens=3, hold=1), answer="w0 w1 w2 ", finished=0),
    Case(
        agent="researcher",
        script=script("Tea, in short", tokens=3, hold=1),
        answer="w0 w1 w2 ",
        finished=3,
        earlier="of Tea.",
    ),
    Case(
        agent="graph",
        script=script('call look_up {"word": "sea"}', tokens=3, hold=1, hold_turn=1),
        answer="The tool answered: sea is a word w0 w1 w2 ",
        finished=1,
    ),
    Case(
        agent="chain",
        script=script("Salt, in short", tokens=3, hold=1),
        answer="w0 w1 w2 ",
        finished=1,
        earlier="Find a title for Salt.",
    ),
    Case(
        agent="typed",
        script=script('call roll {"sides": 6}', tokens=3, hold=1, hold_turn=1),
        answer="The tool answered: 4 w0 w1 w2 ",
        finished=1,
    ),
    Case(agent="loop", script=script("tea", tokens=3, hold=1), answer="w0 w1 w2 \n\n(9 characters)", finished=0),
    Case(agent="spell", script=script("tea", tokens=2, hold=1), answer="w.0. .w.1.", finished=0),
    Case(agent="wait", script=script("tea", tokens=2, hold=1), answer="Waited, and then: w0 w1 ", finished=0),
]
HERE_TOO = [case for case in CASES if importlib.util.find_spec(NEEDS.get(case.agent, "json"))]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A job that lost its worker once."""

    job: dict[str, Any]
    requests: list[Request]


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agents whose frameworks are installed."""
    folder = tmp_path_factory.mktemp("agents")
    for path in (HERE / "agents").glob("*.py"):
        if importlib.util.find_spec(NEEDS.get(path.stem, "json")):
            (folder / path.name).write_text(path.read_text())
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(tmp_path_factory: pytest.TempPathFactory, agents: Path) -> AsyncIterator[dict[str, Ended]]:
    """All jobs at once: one death serves them all."""
    with Endpoint() as endpoint:
        environment = model_environment(endpoint) | {
            "LONGHAUL_AGENT_DIRS": str(agents),
            "LONGHAUL_TOOL_DIRS": str(HERE / "tools"),
            "LONGHAUL_USER_SLOTS": "20",
        }
        server = Server(tmp_path_factory.mktemp("porting"), environment)
        await server.start()
        try:
            yield await run_and_kill(server, endpoint)
        finally:
            server.stop()


async def run_and_kill(server: Server, endpoint: Endpoint) -> dict[str, Ended]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        jobs = {case.agent: await submit(http, case) for case in HERE_TOO}
        for case in HERE_TOO:
            await until(partial(stands, endpoint, case), within=60, what=f"{case.agent} waits for its model")
        server.kill_workers()
        for case in HERE_TOO:
            endpoint.release(endpoint.requests(case.script)[-1].script)  # which names the files, too
        found = {}
        for case in HERE_TOO:
            await until(partial(has_ended, http, jobs[case.agent]), within=60, what=f"{case.agent} ends")
            job = (await http.get(f"/api/jobs/{jobs[case.agent]}")).json()
            found[case.agent] = Ended(job=job, requests=case.requests(endpoint))
        return found


async def submit(http: httpx.AsyncClient, case: Case) -> str:
    asked: dict[str, Any] = {"task": case.agent, "input": case.script}
    if case.agent == "librarian":
        text = b"The sun is yellow.\n\nThe colour of the sea is blue."
        uploaded = await http.post("/api/files", files={"file": ("colours.txt", text, "text/plain")})
        asked["files"] = [uploaded.json()["id"]]
    answer = await http.post("/api/jobs", json=asked)
    assert answer.status_code < 300, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def stands(endpoint: Endpoint, case: Case) -> bool:
    requests = case.requests(endpoint)
    return len(requests) == case.finished + 1 and requests[-1].first_token_at is not None


async def has_ended(http: httpx.AsyncClient, job_id: str) -> bool:
    return (await http.get(f"/api/jobs/{job_id}")).json()["status"] in {"completed", "failed", "incomplete"}


def case_of(agent: str) -> Case:
    case = next(case for case in CASES if case.agent == agent)
    if case not in HERE_TOO:
        pytest.skip(f"{NEEDS[agent]} is not installed")
    return case


@pytest.mark.parametrize("agent", [case.agent for case in CASES])
async def test_an_agent_answers_although_its_worker_died_and_repeats_no_finished_call(
    ended: dict[str, Ended], agent: str
) -> None:
    case = case_of(agent)
    found = ended[agent]
    assert (found.job["status"], found.job.get("error")) == ("completed", None), found.job
    assert found.job["result"]["text"] == case.answer
    assert len(found.requests) == case.finished + 2  # the last call was made by both workers


async def test_a_document_s_passage_reaches_the_model(ended: dict[str, Ended]) -> None:
    system = ended["librarian"].requests[-1].messages[0]["content"]
    assert "The colour of the sea is blue." in system
    assert "yellow" not in system


async def test_a_researcher_hands_over_a_chart_and_a_file(ended: dict[str, Ended]) -> None:
    assert {artifact["name"] for artifact in ended["researcher"].job["artifacts"]} == {"words.plotly.json", "report.md"}


async def test_the_apps_before_have_handlers_of_their_own() -> None:
    """What the page shows as "before" is a Chainlit app; Chainlit is not imported here, because it changes asyncio."""
    for path in (HERE / "before").glob("[a-z]*.py"):
        assert "@cl.on_message" in path.read_text()
        compile(path.read_text(), str(path), "exec")
