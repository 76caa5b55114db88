"""The commands under `/`: every tool that the workers offer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from chainlit.session import WebsocketSession

from background import cancel_and_wait, keep_running
from handlers.forms import ToolForm
from jobs import JSON, JobClient

TYPED = re.compile(r"/([\w-]+)(?:\s+(.*))?", re.DOTALL)
"""A command typed instead of chosen from the list."""
DESCRIPTION_CHARACTERS = 120


class Commands:
    """`async with Commands(jobs) as commands`: sends the tools, and each change of them, to the connected pages."""

    def __init__(self, jobs: JobClient) -> None:
        self._jobs = jobs
        self._sessions: dict[str, WebsocketSession] = {}

    async def __aenter__(self) -> Self:
        self._following = asyncio.create_task(keep_running(self._follow, name="tool list"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._following)

    async def connected(self, session: WebsocketSession) -> None:
        """Sends the commands; a page that connects has none, or old ones."""
        self._sessions[session.id] = session
        await session.emit("set_commands", commands_of(await self._jobs.tools()))

    def disconnected(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    async def _follow(self) -> bool:
        async for tools in self._jobs.follow_tools():
            for session in tuple(self._sessions.values()):
                await session.emit("set_commands", commands_of(tools))
        return True


def commands_of(tools: Sequence[Mapping[str, JSON]]) -> list[dict[str, Any]]:
    """Returns the commands in Chainlit's format."""
    return [_command(ToolForm.of(tool)) for tool in tools]


def _command(form: ToolForm) -> dict[str, Any]:
    headline = form.headline.replace("`", "")  # the list shows plain text
    short = headline if len(headline) <= DESCRIPTION_CHARACTERS else headline[: DESCRIPTION_CHARACTERS - 1] + "…"
    return {"id": form.name, "description": short, "icon": "file-text" if form.takes_files else "wrench"}


def split_command(chosen: str | None, text: str, known: Sequence[str]) -> tuple[str, str] | None:
    """Returns a message's command, known or not, and the text after it; None if it is not a command.

    A typed `/word` alone is always a command. With text behind it, only a known one is: other text may begin with a
    slash too.
    """
    if chosen:
        return chosen, text
    typed = TYPED.fullmatch(text.strip())
    if typed is None or (typed[1] not in known and typed[2]):
        return None
    return typed[1], typed[2] or ""
