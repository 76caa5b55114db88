"""The start of a process: without the garbage collector, because what is imported stays, and with as many open files as
the system allows."""

from __future__ import annotations

import contextlib
import gc
import resource

_found = resource.getrlimit(resource.RLIMIT_NOFILE)


def begin() -> None:
    """Call this before the imports: looking for garbage among them takes a fifth of their time."""
    gc.disable()


def end() -> None:
    """Call this when all is imported: it is never looked through again, which would take a tenth of the CPU."""
    gc.freeze()
    gc.enable()


def allow_open_files() -> None:
    """Raise the soft limit to the hard one: the usual 1,024 are too few for a thousand pages, each with a socket."""
    _, hard = _found
    with contextlib.suppress(ValueError, OSError):  # the kernel refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_open_files(process_id: int) -> None:
    """Give a child the limits that this process found: programs that tools run may visit every possible descriptor, or
    use `select`, which takes no more than 1,024."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        resource.prlimit(process_id, resource.RLIMIT_NOFILE, _found)
