"""Errors of tools, divided by how they are handled.

    ToolkitError
    ├── ToolError                  a sentence for the user who called the tool; authors raise it too
    │   ├── ToolArgumentsInvalid   the arguments do not fit the tool, which is not run
    │   ├── ToolUnknown            no tool of that name is loaded
    │   ├── ToolCrashed            the tool's process ended during the call (os._exit, a segfault, out of memory)
    │   ├── ToolIncomplete         the tool stops with a partial result; a retry continues; authors raise it
    │   ├── ToolTimeout            the tool exceeded its timeout_seconds
    │   ├── ToolHostsUnavailable   no tool host could be started
    │   ├── ToolMisused            inside a tool: its code called the context wrongly; also a ValueError
    │   ├── NotFinished            inside a tool's `partial`: the stopped call had not finished this step or completion
    │   └── RequestFailed          inside a tool: the worker could not fulfil a request of the context
    ├── ToolDefinitionError        the function cannot be a tool; its author reads this at start
    └── NotJson                    a value that JSON cannot represent, so it cannot leave the tool
    CallCancelled                  inside a tool: the call was cancelled (`except Exception` does not catch it)

Any other exception of a tool becomes a ToolError "The tool x failed unexpectedly."; its traceback goes to stderr only.
"""

from collections.abc import Mapping
from typing import Any


class ToolkitError(Exception):
    """Base of this package's errors."""


class ToolError(ToolkitError):
    """A sentence for the user who called the tool: `raise ToolError("The table has no column 'price'.")`."""


class ToolArgumentsInvalid(ToolError):
    """The arguments do not fit the tool's signature; `fields` has a sentence for each wrong one, by its path."""

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields: dict[str, str] = dict(fields or {})


class ToolIncomplete(ToolError):
    """The tool stops before its end, with a result: `raise ToolIncomplete("the budget is used up", {"rows": 812})`.

    The reason is a sentence without a full stop, the result is JSON. Finished steps and parts are kept: a retry,
    possibly with other arguments, continues from them.
    """

    def __init__(self, reason: str, result: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.result = result


class ToolUnknown(ToolError):
    """There is no tool of that name."""


class ToolCrashed(ToolError):
    """The process that ran the tool ended, and ran no other call."""


class ToolTimeout(ToolError):
    """The tool was stopped after its `timeout_seconds`."""


class ToolHostsUnavailable(ToolError):
    """No tool host could be started, or the pool is closed."""


class NotFinished(ToolError):
    """The stopped call had not finished this step or completion; raised only in a tool's `partial`."""


class ToolMisused(ToolError, ValueError):
    """The tool's code called its context wrongly; the message says what to change."""


class RequestFailed(ToolError):
    """A request of a tool to its worker failed; `request` is its number, which the worker uses to find the cause."""

    def __init__(self, message: str, request: int) -> None:
        super().__init__(message)
        self.request = request


class ToolDefinitionError(ToolkitError):
    """The function cannot be a tool; the message says what to change."""


class NotJson(ToolkitError):
    """JSON cannot represent the value; the message completes the sentence "… is not JSON: "."""


class CallCancelled(BaseException):
    """The call was cancelled and must end. Every method of the context raises this from then on."""
