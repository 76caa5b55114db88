"""Directories of tools: what is loaded, what is skipped and what is said about it."""

import logging
from pathlib import Path

import pytest

from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.pool import HostPool
from toolkit.registry import load_tools

GOOD = "from toolkit import tool\n\n@tool\ndef {name}() -> str:\n    'Say it.'\n    return '{name}'\n"


def test_a_broken_file_is_one_clear_line_and_the_others_load(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD.format(name="good"))
    (tmp_path / "_private.py").write_text("raise RuntimeError\n")
    (tmp_path / "syntax.py").write_text("x = 1\ndef broken(:\n")
    (tmp_path / "raises.py").write_text("import json\n\njson.loads('{')\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(1)\n")
    (tmp_path / "wrong.py").write_text("from toolkit import tool\n\n@tool\ndef wrong(a): ...\n")
    (tmp_path / "zz_silent.py").write_text("from toolkit import tool\n\n@tool\ndef silent() -> None: ...\n")
    (tmp_path / "zz_again.py").write_text(GOOD.format(name="good"))
    registry = load_tools([tmp_path, tmp_path / "nowhere"])
    assert list(registry.tools) == ["good"]
    told = [problem.removeprefix(f"{tmp_path.name}/") for problem in registry.problems]
    assert told[0] == "leaves.py: not loaded: line 2: SystemExit: 1"
    assert told[1].startswith("raises.py: not loaded: line 3: JSONDecodeError: Expecting property name")
    assert told[2] == "syntax.py: not loaded: line 2: SyntaxError: invalid syntax"
    assert told[3] == "wrong.py: not loaded: line 3: the tool 'wrong': the parameter 'a' has no type: annotate it"
    assert told[4] == f"zz_again.py: not loaded: {tmp_path.name}/good.py has another tool 'good': rename one of them"
    assert told[5] == "zz_silent.py: not loaded: 'silent' has no docstring: say in one line what it does"
    assert told[6] == "nowhere: not loaded: there is no such directory"


def test_an_imported_tool_is_loaded_once(tmp_path: Path) -> None:
    package = tmp_path / "some_tools"
    package.mkdir()
    (package / "a_first.py").write_text(GOOD.format(name="first"))
    (package / "b_second.py").write_text(
        "from some_tools.a_first import first\n" + GOOD.format(name="second") + "\nassert first() == 'first'\n"
    )
    registry = load_tools([package])
    assert (list(registry.tools), registry.problems) == (["first", "second"], ())


async def test_a_pool_offers_what_loads_and_says_what_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "_shared.py").write_text("ANSWER = 42\n")
    (tmp_path / "good.py").write_text(
        "from toolkit import tool\nfrom _shared import ANSWER\n\n"
        "@tool\ndef good() -> int:\n    'Good.'\n    return ANSWER\n"
    )
    (tmp_path / "bad.py").write_text("1 / 0\n")
    with caplog.at_level(logging.WARNING):
        async with HostPool([tmp_path], spare_hosts=0) as pool:
            assert [spec.name for spec in pool.catalogue] == ["good"]
            assert await pool.call("good", {}, ORIGIN, RecordingHandler()) == 42
            assert await pool.call("good", {}, ORIGIN, RecordingHandler()) == 42
    [record] = caplog.records
    problem = "bad.py: not loaded: line 1: ZeroDivisionError: division by zero"
    assert problem in record.__dict__["fields"]["problem"]


async def test_a_pool_without_tools_starts(tmp_path: Path) -> None:
    async with HostPool([tmp_path], spare_hosts=0) as pool:
        assert pool.catalogue == ()
