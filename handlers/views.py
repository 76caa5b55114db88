"""All open views, one for each connected page that shows a thread."""

from __future__ import annotations

import asyncio
from typing import Self

from chainlit.session import WebsocketSession

from handlers.sockets import is_connected
from handlers.turns import Turns
from handlers.view import ThreadView
from jobs import JobClient


class Views:
    """`async with Views(jobs, turns) as views`."""

    def __init__(self, jobs: JobClient, turns: Turns) -> None:
        self._jobs = jobs
        self._turns = turns
        self._views: dict[str, ThreadView] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self.close(one) for one in tuple(self._views)), return_exceptions=True)

    def of(self, session: WebsocketSession) -> ThreadView:
        """Returns the session's view; a new one does not follow anything yet, and that of a page that has left never
        will."""
        view = self._views.get(session.id) or ThreadView(session, self._jobs, self._turns)
        if is_connected(session):
            self._views[session.id] = view
        return view

    async def close(self, session_id: str) -> None:
        """Closes the view of a lost page or socket; a page that reconnects receives the whole thread again."""
        view = self._views.pop(session_id, None)
        if view is not None:
            await view.close()
