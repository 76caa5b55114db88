"""The laptop's entry: `chainlit run app.py`."""

from __future__ import annotations

import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # Chainlit takes it off again after loading this file

from services.web import WebServices, open_web, prepare
from settings import Settings, refuse, require_loopback

for chatty in ("alembic", "httpx"):
    logging.getLogger(chatty).setLevel(logging.WARNING)
# The welcome is in English whatever the browser asks for; that is no news at each visit.
logging.getLogger("chainlit").addFilter(lambda record: "Translated markdown" not in record.getMessage())

settings = Settings.load()
prepare(settings)

import chainlit as cl
from chainlit.config import config

from api import health_routes
from handlers.chat import open_chat
from handlers.install import install_chat, put_first

require_loopback(settings, config.run.host)

logger = logging.getLogger("longhaul")
slot = install_chat(
    message_bytes=settings.max_body_bytes,
    upload_mb=settings.max_upload_mb,
    allowed_hosts=settings.allowed_hosts,
    allowed_origins=settings.allowed_origins,
)
opened = AsyncExitStack()
running: list[WebServices] = []
put_first(health_routes(lambda: running[0] if running else None).routes)


@cl.on_app_startup
async def start() -> None:
    try:
        services = await opened.enter_async_context(open_web(settings))
        slot.current = await opened.enter_async_context(open_chat(services))
        running.append(services)
    except Exception as error:  # Chainlit would serve a page on which nothing works
        logger.exception("the start failed")
        refuse(f"The server could not start: {error}.")


@cl.on_app_shutdown
async def stop() -> None:
    running.clear()
    await opened.aclose()
