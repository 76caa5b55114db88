"""The production entry of the web process: `uvicorn asgi:app`."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import starting

starting.begin()

import click

from front import Front
from settings import Settings, require_login


def listening_on() -> str:
    """Returns the address that uvicorn listens on; other servers do not expose theirs."""
    context = click.get_current_context(silent=True)
    host = context.params.get("host") if context else None
    return "127.0.0.1" if host is None else str(host)  # an empty one is every address


settings = Settings.load()
front = Front(settings)
require_login(settings, listening_on())

from chainlit.utils import mount_chainlit
from fastapi import FastAPI

from api import ApiOrChat

ROOT = Path(__file__).parent


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Chainlit's own does not run in a mounted application. Workers are started separately."""
    async with front.open(embedded_workers=0):
        yield
    # uvicorn raises the signal again that it has just obeyed: the process would die of it instead of ending with 0.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


chat = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
mount_chainlit(chat, target=str(ROOT / "front.py"), path="/")  # which defines, and registers nothing twice
app = ApiOrChat(api=front.api, chat=chat)
