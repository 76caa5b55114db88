"""The laptop's entry: `chainlit run app.py`."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # Chainlit takes it off again after loading this file

import starting

starting.begin()

from front import Front
from settings import Settings, require_login

settings = Settings.load()
front = Front(settings)

import chainlit as cl
from chainlit.config import config
from chainlit.server import app

from api import ApiOrChat
from services import event_loop

require_login(settings, config.run.host)
# Chainlit hands this very application to its server: `ApiOrChat` becomes its outermost layer.
app.middleware_stack = ApiOrChat(api=front.api, chat=app.build_middleware_stack())
event_loop.take_over()
opened = AsyncExitStack()


@cl.on_app_startup
async def start() -> None:
    await opened.enter_async_context(front.open(embedded_workers=1))


@cl.on_app_shutdown
async def stop() -> None:
    await opened.aclose()
