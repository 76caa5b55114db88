"""What is known of the model endpoint."""

from __future__ import annotations

from services.health import ModelProbe
from settings import Settings
from tests.endpoint import Endpoint


async def test_the_configured_model_comes_first_and_models_that_take_no_messages_are_left_out(
    endpoint: Endpoint,
) -> None:
    endpoint.models = ["b", "text-embedding-3", "whisper-1", "a", "b", "x" * 300, "bad\nname"]
    async with ModelProbe(Settings(OPENAI_BASE_URL=endpoint.url, LONGHAUL_MODEL="a")) as probe:
        assert [*await probe.names()] == ["a", "b"]
        assert await probe.state() == "ok"
