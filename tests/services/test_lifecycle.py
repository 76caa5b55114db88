"""The life of the web process, and what its front ends answer in each phase."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from api import create_api
from services.lifecycle import Lifecycle, NotServing, Phase
from services.web import WebServices, open_web
from settings import Settings
from tests.waiting import until


class Part:
    """Something that is open while the process serves."""


def test_parts_are_there_from_the_opening_to_the_end_and_new_work_is_admitted_until_it_drains() -> None:
    lifecycle, part = Lifecycle(), Part()
    with pytest.raises(NotServing):
        lifecycle.get(Part)
    with lifecycle.serving(part):
        assert lifecycle.get(Part) is lifecycle.admit(Part) is part
        lifecycle.drain()
        assert lifecycle.get(Part) is part
        with pytest.raises(NotServing):
            lifecycle.admit(Part)
    assert lifecycle.phase is Phase.CLOSED
    with pytest.raises(NotServing):
        lifecycle.get(Part)


def test_a_signal_during_the_start_lets_nothing_in() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    with lifecycle.serving(Part()), pytest.raises(NotServing):
        lifecycle.admit(Part)


def test_who_ends_streams_is_called_once_also_when_it_comes_too_late() -> None:
    lifecycle, called = Lifecycle(), list[str]()
    lifecycle.on_drain(lambda: called.append("in time"))
    with lifecycle.serving(Part()):
        lifecycle.drain()
        lifecycle.on_drain(lambda: called.append("late"))
    assert called == ["in time", "late"]


async def test_a_signal_drains_and_reaches_whoever_listened_before() -> None:
    lifecycle, heard = Lifecycle(), list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with lifecycle.drained_by_signals(), lifecycle.serving(Part()):
            signal.raise_signal(signal.SIGTERM)
            await until(lambda: lifecycle.phase is Phase.DRAINING, within=30, what="it drains")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


async def nobody(_: object) -> None:
    return None


async def test_the_api_asks_to_come_again_unless_the_process_is_open(tmp_path: Path) -> None:
    settings, lifecycle = Settings(LONGHAUL_DATA_DIR=tmp_path), Lifecycle()
    api = create_api(settings, lifecycle, browser_user=nobody)
    transport = httpx.ASGITransport(api, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def answers() -> list[tuple[int, str | None]]:
            paths = ("/healthz", "/readyz", "/api/jobs", "/v1/models")
            found = await asyncio.gather(*map(http.get, paths))
            return [(one.status_code, one.headers.get("Retry-After")) for one in found]

        refused = [(200, None), (503, None), (503, "2"), (503, "2")]
        assert await answers() == refused
        async with open_web(settings, embedded_workers=0) as services:
            with lifecycle.serving(services):
                assert await answers() == [(200, None)] * 4
                lifecycle.drain()
                assert await answers() == refused
                assert lifecycle.get(WebServices) is services
        assert await answers() == refused
