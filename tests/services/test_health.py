"""What is known of the model endpoint."""

from __future__ import annotations

import pytest

from services.health import ModelProbe
from settings import Settings
from tests.endpoint import Endpoint
from tests.ports import free_port
from tests.waiting import until


async def test_the_configured_model_comes_first_and_models_that_take_no_messages_are_left_out(
    endpoint: Endpoint,
) -> None:
    endpoint.models = ["b", "text-embedding-3", "whisper-1", "a", "b", "x" * 300, "bad\nname"]
    async with ModelProbe(Settings(OPENAI_BASE_URL=endpoint.url, LONGHAUL_MODEL="a")) as probe:
        assert [*await probe.names()] == ["a", "b"]
        assert await probe.state() == "ok"


async def test_the_log_names_an_endpoint_that_is_away_or_refuses_the_key_at_the_start(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.key = "right"
    away = Settings(OPENAI_BASE_URL=f"http://127.0.0.1:{free_port()}/v1")
    refusing = Settings(OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="wrong")
    for number, settings in enumerate((away, refusing), 1):
        async with ModelProbe(settings):
            await until(lambda: len(caplog.records) == number, within=30, what="a line")  # noqa: B023  # awaited here
    assert [record.__dict__["fields"] for record in caplog.records] == [
        {"endpoint": "127.0.0.1", "problem": "not reachable"},
        {"endpoint": "127.0.0.1", "problem": "refuses the key"},
    ]
    endpoint.key = "wrong"
    async with ModelProbe(refusing) as probe:
        assert await probe.state() == "ok"
    assert len(caplog.records) == 2
