"""MCP servers, as the chat tells of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.endpoint import Endpoint
from tests.models.desk import TOOLBOX, open_desk, settings_for
from tests.ports import free_port
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_dead_server_is_a_sentence_at_a_threads_beginning_and_the_model_knows(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    servers = tmp_path / "servers.json"
    servers.write_text(json.dumps({"mcpServers": {"archive": {"url": f"http://127.0.0.1:{free_port()}/mcp"}}}))
    async with (
        HostPool([TOOLBOX], mcp_servers=servers, spare_hosts=0) as pool,
        open_desk(tmp_path, settings_for(endpoint.url), pool) as desk,
    ):
        first = await desk.submit("hello tokens=1", thread_id="t1")
        await desk.run(first)
        [line] = await desk.logs(first)
        assert line.startswith("warning: The MCP server 'archive'")
        assert "archive" in endpoint.requests()[-1].body["messages"][0]["content"]

        second = await desk.submit("hello again tokens=1", thread_id="t1")
        await desk.run(second)
        assert not await desk.logs(second)
