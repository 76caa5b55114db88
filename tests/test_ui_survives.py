"""The AI SDK's own chat over kill -9 of the web process and of the worker."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import httpx

from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.test_mcp_survives import run, sent, words
from tests.waiting import until

CLIENT = Path(__file__).with_name("api") / "ui_client.mjs"
PACKAGES = ("ai@7.0.173", "@ai-sdk/react@4.0.177", "@ai-sdk/workflow@2.0.43", "react@19", "zod@4")
SECONDS = 60


async def installed() -> Path:
    """Installed once for all test runs of this machine's temporary directory, without what only servers need."""
    folder = Path(tempfile.gettempdir()) / f"longhaul-tests-{PACKAGES[0]}"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        options = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--legacy-peer-deps", "--loglevel=error")
        await run("npm", "install", "--prefix", str(folder), *options, *PACKAGES)
    return folder


async def test_the_ai_sdks_chat_gets_every_word_once_over_kill_9_of_web_and_worker(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    client = str(shutil.copy(CLIENT, await installed()))
    server = await start_server()
    asked = script(tokens=60, hold="20,40")
    chatting = asyncio.create_task(run("node", client, server.url, asked))
    await until(partial(sent, endpoint, asked, 20), within=SECONDS, what="the first words")
    server.kill_web()
    await server.start()
    endpoint.release(asked)
    await until(partial(sent, endpoint, asked, 40), within=SECONDS, what="more words")
    server.kill_workers()
    endpoint.release(asked)
    seen = json.loads(await asyncio.wait_for(chatting, SECONDS))
    assert (seen["status"], seen["text"], seen["same"]) == ("ready", words(60), True)
    assert len(seen["requests"]) >= 2
    async with httpx.AsyncClient(base_url=server.url) as http:
        job = (await http.get(f"/api/jobs/{seen['run']}")).json()
    assert (job["status"], job["attempt"]) == ("completed", 2)
