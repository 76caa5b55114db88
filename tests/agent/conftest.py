"""A desk with the scripted endpoint as its model, and one with the offline model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.desk import TOOLBOX, Desk, open_desk, settings_for
from tests.endpoint import Endpoint


@pytest.fixture
async def desk(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, settings_for(endpoint.url), [TOOLBOX]) as desk:
        await desk.models.ready()
        yield desk


@pytest.fixture
async def offline(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, settings_for(None), [TOOLBOX]) as desk:
        await desk.models.ready()
        yield desk
