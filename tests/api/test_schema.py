"""The OpenAPI of the API: complete, and held against the running server by schemathesis."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error

from tests.api.conftest import KEYS
from tests.conftest import examples
from tests.server import Server


async def schema_of(client: httpx.AsyncClient) -> dict[str, Any]:
    schema: dict[str, Any] = (await client.get("/api/openapi.json")).json()
    return schema


async def test_every_call_describes_its_answers_and_its_errors(ada: httpx.AsyncClient) -> None:
    schema = await schema_of(ada)
    calls = [(path, method, call) for path, calls in schema["paths"].items() for method, call in calls.items()]
    assert len(calls) > 15
    for path, method, call in calls:
        assert call.get("description"), f"{method} {path} says nothing of itself"
        if path.startswith(("/api/", "/v1/")):
            assert "401" in call["responses"], f"{method} {path}"
            errors = [answer for status, answer in call["responses"].items() if status >= "400"]
            assert all("example" in answer["content"]["application/json"] for answer in errors), f"{method} {path}"


async def test_the_documentation_needs_no_other_host(ada: httpx.AsyncClient) -> None:
    assert "https://" not in (await ada.get("/api/docs")).text
    script = await ada.get("/api/docs/files/swagger-ui-bundle.js")
    assert (script.status_code, "javascript" in script.headers["content-type"]) == (200, True)


@pytest.mark.filterwarnings("ignore")  # of the libraries that make the requests
async def test_nothing_that_the_schema_allows_or_forbids_breaks_the_server(
    ada: httpx.AsyncClient, api_server: Server
) -> None:
    await asyncio.to_thread(abuse_all, await schema_of(ada), api_server.url)


def abuse_all(schema: dict[str, Any], url: str) -> None:
    for found in schemathesis.openapi.from_dict(schema).get_all_operations():
        operation: Any = found
        if operation.ok().path == "/api/events":
            continue  # its stream has no end; `test_feed.py` asks it
        for mode in schemathesis.GenerationMode:
            abuse(operation.ok(), mode, url)


def abuse(operation: Any, mode: schemathesis.GenerationMode, url: str) -> None:
    quick = settings(
        max_examples=examples(share=0.25),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @quick
    @given(case=operation.as_strategy(generation_mode=mode))
    def hit(case: Any) -> None:
        headers = {"Authorization": f"Bearer {KEYS['bob']}"}
        case.call_and_validate(base_url=url, headers=headers, checks=[not_a_server_error], timeout=20)

    with contextlib.suppress(Unsatisfiable):  # a call without parameters cannot be called wrongly
        hit()
