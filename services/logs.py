"""A process's log on stderr, as text or JSON: its own lines by level, and the problems of libraries."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from settings import Settings
from toolkit.lines import LineFormat, line_of

OURS = ("accounts", "api", "background", "files", "handlers", "jobs", "longhaul", "models", "services", "toolkit")
"""`LONGHAUL_LOG_LEVEL` applies to these loggers and their children."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

logger = logging.getLogger("longhaul")


class LineFormatter(logging.Formatter):
    """A record with its fields, passed as `extra={"fields": {…}}`."""

    def __init__(self, form: LineFormat, process: str) -> None:
        super().__init__()
        self._form = form
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        return line_of(
            self._form,
            at=record.created,
            process=self._process,
            level=record.levelname.lower(),
            message=record.getMessage(),
            fields=getattr(record, "fields", {}),
            trace=self.formatException(record.exc_info) if record.exc_info else "",
        )


def configure(settings: Settings, process: str) -> None:
    """Call it again after a library may have configured logging."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(settings.log_format, process))
    level = LEVELS[settings.log_level]
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _unforeseen
    _quieten(level)


def _quieten(level: int) -> None:
    """Drops the routine messages of libraries, except the server's address."""
    logging.getLogger("chainlit").setLevel(max(level, logging.INFO))
    for name in ("chainlit", "uvicorn.error"):
        logging.getLogger(name).addFilter(_is_news)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        # A line per request would drown the jobs' lines and record query strings. A proxy writes such a log.
        logging.getLogger(name).propagate = name != "uvicorn.access"


def _is_news(record: logging.LogRecord) -> bool:
    """Passes problems and the server's address. A refused socket of a stranger is not a problem."""
    message = record.getMessage()
    if message.startswith(("Authorization for the session failed", "Authentication failed in websocket connect")):
        return False
    return record.levelno > logging.INFO or message.startswith(("Your app is available", "Uvicorn running"))


def _unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.error("process failed", exc_info=(kind, error, trace))
