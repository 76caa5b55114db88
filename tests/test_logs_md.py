"""docs/logs.md lists every line that our code writes to the log, with its level and its fields, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jobs.journal import of_job
from services.logs import OURS
from tests.handlers.screens import job
from tests.server import ROOT
from tests.test_layout import modules, place

PAGE = (ROOT / "docs" / "logs.md").read_text()
LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}
OF_JOB = frozenset(of_job(job())["fields"])
KEPT_BY_THE_LINE = {"time", "level", "process", "pid", "message", "exception"}


class Line(NamedTuple):
    message: str
    level: str
    fields: frozenset[str]


def fields_of(call: ast.Call, function: ast.AST) -> frozenset[str]:
    """Of `extra=of_job(…)`, `extra={"fields": {…}}`, and names that stand for them in the same function."""
    extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
    if extra is None:
        return frozenset()
    if isinstance(extra, ast.Dict):
        (extra,) = extra.values
    if isinstance(extra, ast.Name):
        extra = assigned(function, extra.id)
    if isinstance(extra, ast.Dict):
        return frozenset(str(key.value) for key in extra.keys if isinstance(key, ast.Constant))
    assert isinstance(extra, ast.Call), ast.dump(extra)
    return of_call(extra)


def of_call(made: ast.Call) -> frozenset[str]:
    if isinstance(made.func, ast.Attribute) and made.func.attr == "_of_step":
        return OF_JOB | {"step", "name", "kind", "seconds", "error"}
    assert isinstance(made.func, ast.Name), ast.dump(made)
    assert made.func.id == "of_job"
    return OF_JOB | {str(keyword.arg) for keyword in made.keywords}


def assigned(function: ast.AST, name: str) -> ast.expr:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return node.value
    raise AssertionError(f"{name} is not assigned in the function")


def lines_of(module: Path) -> Iterator[Line]:
    tree = ast.parse(module.read_text())
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (found := line_of(call, function)):
                    yield found


def line_of(call: ast.Call, function: ast.AST) -> Line | None:
    of_logger, arguments = call.func, call.args
    if isinstance(of_logger, ast.Name) and of_logger.id == "partial" and arguments:
        of_logger, arguments = arguments[0], arguments[1:]
    if not (isinstance(of_logger, ast.Attribute) and isinstance(of_logger.value, ast.Name)):
        return None
    if of_logger.value.id != "logger" or of_logger.attr not in LEVELS:
        return None
    (message,) = arguments
    assert isinstance(message, ast.Constant), f"a message that is not constant: {ast.dump(message)}"
    return Line(str(message.value), LEVELS[of_logger.attr], fields_of(call, function))


def written() -> set[Line]:
    return {line for module in modules() for line in lines_of(module)}


def documented() -> list[Line]:
    rows = re.findall(r"^\| `([^`]+)` \| ([A-Z]+) \|([^|]*)\|", PAGE, re.MULTILINE)
    return [
        Line(message, level, frozenset(re.findall(r"`(\w+)`", fields)) | (OF_JOB if "*job*" in fields else frozenset()))
        for message, level, fields in rows
    ]


def test_the_page_lists_every_line_with_its_level_and_its_fields_and_no_other() -> None:
    assert {*documented()} == written()
    assert len(documented()) == len(written())


def test_a_message_never_changes_so_that_it_can_be_searched_for() -> None:
    for line in written():
        assert "%" not in line.message
        assert not line.fields & KEPT_BY_THE_LINE, line


def test_the_page_says_what_job_stands_for() -> None:
    told = re.search(r"\*job\* stands for ([^.]+)\.", PAGE)
    assert told
    assert set(re.findall(r"`(\w+)`", told[1])) == OF_JOB


def loggers_of(module: Path) -> set[str]:
    named = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "logger":
            assert isinstance(node.value, ast.Call)
            (name,) = node.value.args
            named.add(str(name.value) if isinstance(name, ast.Constant) else place(module).replace("/", "."))
    return named


def test_every_logger_of_ours_obeys_the_level() -> None:
    """One with another name would count as a library's, and say nothing below a warning."""
    named = {name for module in modules() for name in loggers_of(module)}
    assert {name.partition(".")[0] for name in named} <= {*OURS}
