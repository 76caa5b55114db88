"""Records for the audit log, from wherever something happens. Every package may import this; `services/audit.py` writes
the file. A record names things by their ids and holds neither content nor secrets."""

from __future__ import annotations

import logging
from contextvars import ContextVar

CALLER: ContextVar[str | None] = ContextVar("audited_caller", default=None)
"""The user whom the present request or socket belongs to."""
ADDRESS: ContextVar[str | None] = ContextVar("audited_address", default=None)
"""Where that request or socket comes from."""
NOBODY = ""
"""For `who`: an unknown user, instead of the request's caller."""
MAX_CHARACTERS = 200
"""Of each value: some are what strangers sent."""

LOGGER = "longhaul_audit"
_records = logging.getLogger(LOGGER)
_records.propagate = False  # it is no part of the server's log
_records.addHandler(logging.NullHandler())
_records.setLevel(logging.INFO)


def record(what: str, *, who: str | None = None, **ids: str | None) -> None:
    """Passes the record on; never waits, never fails. Without `who`, it is the present request's caller."""
    found = {"who": (CALLER.get() if who is None else who) or None, "what": what, "from": ADDRESS.get(), **ids}
    fields = {name: None if value is None else value[:MAX_CHARACTERS] for name, value in found.items()}
    _records.info(what, extra={"fields": fields})
