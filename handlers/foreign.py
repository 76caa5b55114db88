"""Finds handlers that other code registered with Chainlit, which silently keeps only the last one of each kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from chainlit.config import config

OURS = Path(__file__).resolve().parent
LOGINS = frozenset({"password_auth_callback", "header_auth_callback", "oauth_callback", "on_logout"})


def foreign_handler() -> str | None:
    """Returns a sentence about a handler that is not ours, and where its code belongs; None without one."""
    for kind, function in _registered():
        code = _code(function)
        if code is None or OURS not in Path(code.co_filename).resolve().parents:
            return (
                f"{_place(code)} registers {_name(function)} as Chainlit's {kind}, beside Longhaul's. {_advice(kind)}"
            )
    return None


def _registered() -> Iterator[tuple[str, Any]]:
    handlers = config.code
    for name, function in handlers.action_callbacks.items():
        yield f"action_callback({name!r})", function
    for kind in type(handlers).model_fields.keys() - {"action_callbacks", "module"}:
        if (function := getattr(handlers, kind)) is not None:
            yield kind, function


def _written(function: Any) -> Any:
    """Returns the function as its author wrote it, without what Chainlit puts around it."""
    written = inspect.unwrap(function)
    if isinstance(written, type) or not callable(written) or not hasattr(written, "__closure__"):
        return written
    inner = inspect.getclosurevars(written).nonlocals.get("func")
    return _written(inner) if inner is not None and written.__module__ == "chainlit.callbacks" else written


def _code(function: Callable[..., Any]) -> CodeType | None:
    code: CodeType | None = getattr(_written(function), "__code__", None)
    return code


def _name(function: Callable[..., Any]) -> str:
    written = _written(function)
    return str(getattr(written, "__name__", type(written).__name__))


def _place(code: CodeType | None) -> str:
    if code is None:
        return "Code that is not Longhaul's"
    path = Path(code.co_filename).resolve()
    here = Path.cwd()
    return f"{path.relative_to(here) if here in path.parents else path}:{code.co_firstlineno}"


def _advice(kind: str) -> str:
    if kind in LOGINS:
        return "Settings control who may log in: docs/accounts.md."
    return "Move its code to an agent in agents/; docs/porting.md shows how."
