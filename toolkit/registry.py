"""Loads directories of tools. A file that cannot be loaded is reported as a problem; the others are offered."""

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit.catalogue import Kind
from toolkit.errors import ToolDefinitionError
from toolkit.tool import Tool

BELONGS: Mapping[Kind, tuple[str, str]] = {
    "tool": ("a tool", "LONGHAUL_TOOL_DIRS"),
    "agent": ("an agent", "LONGHAUL_AGENT_DIRS"),
}


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The loaded tools, and the problems with files."""

    tools: dict[str, Tool[..., Any]]
    """By name."""
    problems: tuple[str, ...]
    """A line for each skipped file."""


def load_tools(directories: Sequence[Path], kind: Kind = "tool") -> Registry:
    """Import every `*.py` that does not start with '_' and collect its tools, or its agents."""
    tools: dict[str, Tool[..., Any]] = {}
    problems: list[str] = []
    for file in _files(directories, problems):
        try:
            found = _tools_of(_import(file))
            _check_kind(found.values(), kind)
            _check_documented(found.values())
            _check_new(found, tools)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's file may raise anything
            problems.append(f"{file.parent.name}/{file.name}: not loaded: {_where(error, file)}{_what(error)}")
        else:
            tools.update(found)
    return Registry(tools=tools, problems=tuple(problems))


def _files(directories: Sequence[Path], problems: list[str]) -> Iterable[Path]:
    for directory in directories:
        if directory.is_dir():
            yield from sorted(file for file in directory.glob("*.py") if not file.name.startswith("_"))
        else:
            problems.append(f"{directory.name}: not loaded: there is no such directory")


def _import(file: Path) -> ModuleType:
    # The name by which other files import it (`from tools.index import …`), so that it is loaded once.
    name = f"{file.resolve().parent.name}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ToolDefinitionError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _tools_of(module: ModuleType) -> dict[str, Tool[..., Any]]:
    found = [value for value in vars(module).values() if isinstance(value, Tool)]
    return {tool.name: tool for tool in found if tool.function.__module__ == module.__name__}


def _check_kind(found: Iterable[Tool[..., Any]], kind: Kind) -> None:
    for one in found:
        if one.spec.kind != kind:
            what, where = BELONGS[one.spec.kind]
            raise ToolDefinitionError(f"{one.name!r} is {what}: move its file to a directory of {where}")


def _check_documented(found: Iterable[Tool[..., Any]]) -> None:
    for one in found:
        if not (one.function.__doc__ or "").strip():
            raise ToolDefinitionError(f"{one.name!r} has no docstring: say in one line what it does")


def _check_new(found: Mapping[str, Tool[..., Any]], known: Mapping[str, Tool[..., Any]]) -> None:
    for name in found.keys() & known.keys():
        first = known[name]
        file = Path(inspect.getfile(first.function))
        raise ToolDefinitionError(
            f"{file.parent.name}/{file.name} has another {first.spec.kind} {name!r}: rename one of them"
        )


def _where(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"line {lines[-1]}: " if lines else ""


def _what(error: BaseException) -> str:
    said = str(error.msg if isinstance(error, SyntaxError) else error)  # the place is known
    text = said.splitlines()[0] if said else ""
    return text if isinstance(error, ToolDefinitionError) else f"{type(error).__name__}: {text}".rstrip(": ")
