"""The engine on every back end: a contract test that asks for `engine` runs once for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.engine import BACKENDS, Engine, OpenEngine


@pytest.fixture(params=sorted(BACKENDS))
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> OpenEngine:
    """Opens one more view of the same database, as another process would."""

    def open_one(**options: Any) -> AbstractAsyncContextManager[Engine]:
        return BACKENDS[request.param](tmp_path, **options)

    return open_one


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    async with open_engine() as opened:
        yield opened
