"""Tools of MCP servers: real servers as children and over HTTP, well, dead, hanging and dying."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.ports import free_port
from tests.processes import is_dead
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.errors import ToolArgumentsInvalid, ToolError, ToolTimeout
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVER = str(Path(__file__).with_name("mcp_server.py"))
CHILD = {"command": sys.executable, "args": [SERVER], "env": {"SECRET": "pst-very-secret"}}
LOST = r"The connection to the MCP server '{}' was lost while it worked\."


def write(folder: Path, servers: dict[str, Any]) -> Path:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


@asynccontextmanager
async def serving(port: int, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, SERVER, str(port), *options)
    try:
        await until(lambda: answers(port), within=20, what="the server listens")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    port = free_port()
    async with serving(port):
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def old_port() -> AsyncIterator[int]:
    port = free_port()
    async with serving(port, "sse"):
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory, port: int, old_port: int) -> AsyncIterator[HostPool]:
    """A pool with the same server as a child and over HTTP of both kinds."""
    folder = tmp_path_factory.mktemp("servers")
    web = {"url": f"http://127.0.0.1:{port}/mcp", "type": "http", "headers": {"X-Key": "secret"}}
    old = {"url": f"http://127.0.0.1:{old_port}/sse", "type": "sse"}
    (folder / "tools").mkdir()
    async with HostPool(
        [folder / "tools"], mcp_servers=write(folder, {"child": CHILD, "web": web, "old": old})
    ) as pool:
        yield pool


async def call(pool: HostPool, tool: str, handler: RecordingHandler | None = None, /, **arguments: Any) -> Any:
    return await pool.call(tool, arguments, ORIGIN, handler or RecordingHandler())


each_kind = pytest.mark.parametrize("server", ["child", "web", "old"])


@each_kind
async def test_a_servers_tools_are_offered_with_its_own_schema(servers: HostPool, server: str) -> None:
    spec = {spec.name: spec for spec in servers.catalogue}[f"{server}__add"]
    assert (spec.description, spec.run_in, spec.timeout_seconds) == ("Add two numbers.", "loop", 600)
    assert spec.parameters["properties"]["right"] == {"default": 1, "title": "Right", "type": "integer"}
    assert servers.problems == ()


@each_kind
async def test_structured_content_is_the_value_else_the_texts_are(servers: HostPool, server: str) -> None:
    assert await call(servers, f"{server}__add", left=2) == 3
    assert await call(servers, f"{server}__describe", name="ada") == {"name": "ada", "length": 3}
    assert await call(servers, f"{server}__say", words=["a", "b"]) == "a\nb"


@each_kind
async def test_an_error_result_is_the_servers_sentence(servers: HostPool, server: str) -> None:
    with pytest.raises(ToolError, match="The table has no column 'price'"):
        await call(servers, f"{server}__fail")


@each_kind
async def test_a_picture_becomes_an_artifact_with_a_sentence(servers: HostPool, server: str) -> None:
    handler = RecordingHandler()
    assert await call(servers, f"{server}__draw", handler) == "Here it is.\nThe tool returned the file draw-2.png."
    mime, content = handler.artifacts["draw-2.png"]
    assert (mime, content[:4]) == ("image/png", b"\x89PNG")


@each_kind
async def test_progress_of_the_server_is_progress_of_the_call(servers: HostPool, server: str) -> None:
    handler = RecordingHandler()
    assert await call(servers, f"{server}__count", handler, to=3) == 3
    assert handler.progresses == [(1, 3, "counted 1"), (2, 3, "counted 2"), (3, 3, "counted 3")]


@each_kind
async def test_a_cancelled_call_is_cancelled_at_the_server_and_the_connection_stays(
    servers: HostPool, tmp_path: Path, server: str
) -> None:
    marks = tmp_path / "marks"
    hosts = servers.host_pids
    task = asyncio.create_task(call(servers, f"{server}__wait", marks=str(marks)))
    await until(marks.exists, within=30, what="the server waits")
    beside = asyncio.create_task(call(servers, f"{server}__count", to=5))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: marks.read_text() == "cancelled", within=30, what="the server knows")
    assert await beside == 5
    assert servers.host_pids == hosts


@each_kind
@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({}, {"left": "The argument 'left' is missing."}),
        ({"left": "x"}, {"left": "The argument 'left' is wrong: 'x' is not of type 'integer'."}),
        (
            {"left": None, "right": "y"},
            {
                "left": "The argument 'left' is wrong: None is not of type 'integer'.",
                "right": "The argument 'right' is wrong: 'y' is not of type 'integer'.",
            },
        ),
    ],
)
async def test_wrong_arguments_are_found_before_the_server_is_asked(
    servers: HostPool, server: str, arguments: dict[str, Any], fields: dict[str, str]
) -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        await call(servers, f"{server}__add", **arguments)
    assert caught.value.fields == fields


async def test_a_servers_process_is_as_nice_as_its_host_and_ends_with_it(tmp_path: Path) -> None:
    async with HostPool([tmp_path], mcp_servers=write(tmp_path, {"child": CHILD})) as pool:
        told = await call(pool, "child__who")
        assert (told["nice"], told["secret"]) == (19, 15)
        assert told["group"] in pool.host_pids
        os.kill(told["group"], signal.SIGKILL)
        await until(lambda: is_dead(told["pid"]), within=30, what="the server has ended with its host")
        again = await call(pool, "child__who")
        assert again["pid"] != told["pid"]
    await until(lambda: is_dead(again["pid"]), within=30, what="the server has ended with the pool")


async def test_a_servers_program_gets_what_its_entry_names_and_no_more(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TOOL_KEY": "of a tool", "TZ": "UTC"}
    async with HostPool(
        [tmp_path], environment=environment, mcp_servers=write(tmp_path, {"child": CHILD}), spare_hosts=0
    ) as pool:
        names = set(await call(pool, "child__variables"))
    assert names - {"LC_CTYPE"} == {"PATH", "HOME", "SECRET"}, "LC_CTYPE is set by Python itself"


async def test_a_child_that_dies_in_mid_call_is_a_sentence_and_is_started_again(tmp_path: Path) -> None:
    async with HostPool([tmp_path], mcp_servers=write(tmp_path, {"child": CHILD})) as pool:
        with pytest.raises(ToolError, match=LOST.format("child")):
            await call(pool, "child__die", marks=str(tmp_path / "marks"))
        told = await call(pool, "child__who")
        os.kill(told["pid"], signal.SIGKILL)

        async def added() -> Any:
            with contextlib.suppress(ToolError):  # a call in the moment of its death may be lost with it
                return await call(pool, "child__add", left=4)

        assert await until(added, within=30, what="it is started again") == 5


async def test_a_server_on_http_that_dies_is_a_sentence_and_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    path = write(tmp_path, {"web": {"url": f"http://127.0.0.1:{port}/mcp"}})
    async with serving(port) as first, HostPool([tmp_path], mcp_servers=path) as pool:
        with pytest.raises(ToolError, match=LOST.format("web")):
            await call(pool, "web__die", marks=str(tmp_path / "marks"))
        await first.wait()
        with pytest.raises(ToolError, match=r"The MCP server 'web' is out of reach: check the url of its entry"):
            await call(pool, "web__add", left=1)
        async with serving(port):
            assert await call(pool, "web__add", left=1) == 2
        async with serving(port):  # another one, which does not know our session
            assert await call(pool, "web__add", left=2) == 3


async def test_a_server_that_hangs_in_mid_call_ends_at_its_time_limit(tmp_path: Path) -> None:
    path = write(tmp_path, {"child": {**CHILD, "timeout": 0.5}})
    async with HostPool([tmp_path], mcp_servers=path) as pool:
        with pytest.raises(ToolTimeout, match=r"The tool child__wait was stopped after 0\.5 s, its time limit\."):
            await call(pool, "child__wait", marks=str(tmp_path / "marks"))
        assert await call(pool, "child__add", left=1) == 2


async def test_servers_of_no_use_are_sentences_and_the_others_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text("from toolkit import tool\n\n@tool\ndef own() -> int:\n    'Own.'\n    return 1\n")
    secret = {"env": {"KEY": "sk-secret-1"}, "headers": {"Authorization": "Bearer sk-secret-1"}}
    entries = {
        "well": CHILD,
        "gone": {"url": f"http://127.0.0.1:{free_port()}/mcp?key=sk-secret-1", **secret},
        "missing": {"command": "/no/such/sk-secret-1", **secret},
        "ends": {"command": sys.executable, "args": ["-c", "raise SystemExit('no')"], **secret},
        "both": {"command": "x", "url": "http://x", **secret},
        "scheme": {"url": "ftp://sk-secret-1"},
        "type": {"url": "http://x", "type": "pigeon"},
        "args": {"command": "x", "args": "sk-secret-1"},
        "env": {"command": "x", "env": {"KEY": 1}},
        "nothing": "sk-secret-1",
        "off": {"command": "x", "disabled": True},
    }
    with caplog.at_level(logging.DEBUG):
        async with HostPool([tmp_path], mcp_servers=write(tmp_path, entries)) as pool:
            assert await call(pool, "own") == 1
            assert await call(pool, "well__add", left=1) == 2
            problems = set(pool.problems)
            names = {spec.name.partition("__")[0] for spec in pool.catalogue}
    until_then = " Its tools are missing until the next start."
    assert names == {"own", "well"}
    assert problems == {
        "The MCP server 'gone' is out of reach: check the url of its entry, and whether it runs." + until_then,
        "The MCP server 'missing' cannot be started: check the command of its entry." + until_then,
        "The MCP server 'ends' ended or failed before it was ready." + until_then,
        'The MCP server \'both\' is not used: its entry needs either a "command" or a "url".',
        "The MCP server 'scheme' is not used: \"url\" must begin with http:// or https://.",
        "The MCP server 'type' is not used: "
        '"type" must be "http" or "sse" with a "url", or "stdio" with a "command".',
        "The MCP server 'args' is not used: \"args\" must be a list of texts.",
        "The MCP server 'env' is not used: \"env\" must name texts.",
        'The MCP server \'nothing\' is not used: its entry needs either a "command" or a "url".',
    }
    assert "sk-secret-1" not in caplog.text + "".join(capfd.readouterr())


async def test_a_server_that_hangs_at_its_start_holds_nothing_up_for_longer_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("from toolkit import tool\n\n@tool\ndef own() -> int:\n    'Own.'\n    return 1\n")
    path = write(tmp_path, {"slow": {"command": sys.executable, "args": [SERVER, "hang"]}})
    async with asyncio.timeout(30):
        async with HostPool([tmp_path], mcp_servers=path, connect_seconds=1) as pool:
            assert pool.problems == (
                "The MCP server 'slow' did not answer within 1 s. Its tools are missing until the next start.",
            )
            assert await call(pool, "own") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "The file of MCP servers cannot be read: check its path and its permissions."),
        ("{", "The file of MCP servers is not JSON: look at line 1, column 2."),
        ("[]", 'The file of MCP servers must be of the form {"mcpServers": {"name": {…}}}.'),
        ('{"mcpServers": []}', 'The file of MCP servers must be of the form {"mcpServers": {"name": {…}}}.'),
        ("\xff", "The file of MCP servers is not JSON in UTF-8."),
    ],
)
async def test_a_file_of_no_use_is_a_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    path = tmp_path / "mcp.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    async with HostPool([tmp_path], mcp_servers=path, spare_hosts=0) as pool:
        assert (pool.catalogue, pool.problems) == ((), (sentence,))
