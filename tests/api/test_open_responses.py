"""`scripts/open-responses` where the suite cannot be run; test_models_alone.py has its requests as tests of our own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.api.conftest import KEYS
from tests.server import ROOT, Server


@pytest.mark.parametrize(
    ("access", "sentence"),
    [
        ({}, "The suite cannot be had from"),
        ({"LONGHAUL_API_KEY": "wrong"}, "No server answers at"),
        ({"LONGHAUL_URL": "http://127.0.0.1:9"}, "No server answers at"),
    ],
)
async def test_a_suite_that_cannot_be_run_is_one_line(
    api_server: Server, tmp_path: Path, access: dict[str, str], sentence: str
) -> None:
    known = {"LONGHAUL_URL": api_server.url, "LONGHAUL_API_KEY": KEYS["ada"]}
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "scripts" / "open-responses"),
        *("--suite", str(tmp_path / "none")),
        env=os.environ | known | access,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out, err.decode().count("\n")) == (1, b"", 1)
    assert err.decode().startswith(sentence)
