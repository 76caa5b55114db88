"""axe, the checker of accessibility, on a page as it stands."""

from __future__ import annotations

import contextlib

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page

from tests.waiting import until

SERIOUS = ("serious", "critical")


async def violations(page: Page) -> list[str]:
    """What axe still finds serious when the page has settled: its rule, and the first element."""
    found: list[str] = []

    async def none() -> bool:
        serious = [one for one in (await Axe().run(page)).response["violations"] if one["impact"] in SERIOUS]
        found[:] = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in serious]
        return not found

    with contextlib.suppress(AssertionError):
        await until(none, within=30, what="axe finds nothing")
    return found
