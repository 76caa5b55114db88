"""docs/api.md cannot lie: its routes are the server's, its examples run, and they print what the page says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.app import ROUTERS
from settings import Settings
from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.server import Server

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text()
ADDRESS = "http://localhost:8000"
SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Example:
    language: str
    code: str
    shown: list[str]
    """What it prints, among other lines and in this order; … stands for anything."""


def examples() -> list[Example]:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    found = []
    for (language, code), (following, text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language != "text":
            shown = text.splitlines() if following == "text" else []
            found.append(Example(language=language, code=code, shown=shown))
    return found


PYTHON = [example for example in examples() if example.language == "python"]
BASH = [example for example in examples() if example.language == "bash"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Endpoint() as endpoint:
        server = Server(tmp_path_factory.mktemp("page"), model_environment(endpoint))
        yield server
        server.stop()
        server.check_log()


@pytest.fixture
async def server(kept: Server) -> Server:
    if not kept.log():
        await kept.start()
    return kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Looks like the project's, and may be written to."""
    for name in ("samples", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


async def output(server: Server, folder: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "LONGHAUL_URL": server.url,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{out.decode()}\n{err.decode()}"
    return out.decode()


def check(example: Example, printed: str) -> None:
    lines = iter(printed.splitlines())
    for shown in example.shown:
        pattern = r"\s*".join(".*".join(map(re.escape, word.split("…"))) for word in shown.split())
        assert any(re.fullmatch(pattern, line.strip()) for line in lines), f"{shown!r} is not in:\n{printed}"


def here(code: str, server: Server) -> str:
    return code.replace(ADDRESS, server.url).replace('"MODEL"', '"test-model"')


async def test_the_commands_of_the_page_print_what_it_says(server: Server, folder: Path) -> None:
    """One shell runs them all: later ones use what earlier ones found."""
    end = "--- end of the example ---"
    session = "".join(f"{here(example.code, server)}echo '{end}'\n" for example in BASH)
    printed = await output(server, folder, "bash", "-eo", "pipefail", "-c", session)
    *printed_by_each, rest = printed.split(f"{end}\n")
    assert rest == ""
    for example, lines in zip(BASH, printed_by_each, strict=True):
        check(example, lines)


async def test_the_programs_of_the_page_print_what_it_says(server: Server, folder: Path) -> None:
    assert len(PYTHON) == 5
    programs = [output(server, folder, sys.executable, "-c", here(example.code, server)) for example in PYTHON]
    for example, printed in zip(PYTHON, await asyncio.gather(*programs), strict=True):
        check(example, printed)


def test_the_page_has_every_route_and_no_other() -> None:
    own = {("GET", "/api/openapi.json"), ("GET", "/api/docs")}
    served = own.union(*(routes(router) for router in ROUTERS))
    named = re.findall(r"^\| `([A-Z]+) (/\S*)` \|", PAGE.partition("## All routes")[2], re.MULTILINE)
    assert set(named) == served
    assert len(named) == len(set(named))


def routes(router: APIRouter) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for route in router.routes:
        if isinstance(route, APIRoute):
            found |= {(method, route.path.replace(":path", "")) for method in (route.methods or set()) - {"HEAD"}}
        else:
            found |= routes(route.original_router)  # type: ignore[attr-defined]  # one router within another
    return found


def test_the_limits_of_the_page_are_the_settings_own() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+)\b[^|]* \| `([A-Z_]+)` \|$", PAGE, re.MULTILINE)
    defaults = {str(field.validation_alias): field.default for field in Settings.model_fields.values()}
    assert len(rows) == 5
    for number, variable in rows:
        assert int(number) == defaults[variable], variable
