"""All open views: one for each browser session that looks at a thread."""

from __future__ import annotations

import asyncio
from typing import Self

from chainlit.session import WebsocketSession

from handlers.turns import Turns
from handlers.view import ThreadView
from jobs import JobClient
from jobs.background import again_and_again

SWEEP_SECONDS = 5.0
"""Chainlit tells nobody when it forgets a session: views whose session is gone are closed by looking."""


class Views:
    """`async with Views(jobs, turns) as views`."""

    def __init__(self, jobs: JobClient, turns: Turns) -> None:
        self._jobs = jobs
        self._turns = turns
        self._views: dict[str, ThreadView] = {}

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(again_and_again(self._sweep, name="the sweep of views"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, *(self._drop(one) for one in tuple(self._views)), return_exceptions=True)

    def of(self, session: WebsocketSession) -> ThreadView:
        """The session's view; a new one follows nothing yet."""
        if session.id not in self._views:
            self._views[session.id] = ThreadView(session, self._jobs, self._turns)
        return self._views[session.id]

    async def _sweep(self) -> None:
        await asyncio.sleep(SWEEP_SECONDS)
        for session_id in tuple(self._views):
            if WebsocketSession.get_by_id(session_id) is None:
                await self._drop(session_id)

    async def _drop(self, session_id: str) -> None:
        view = self._views.pop(session_id, None)
        if view is not None:
            await view.close()
