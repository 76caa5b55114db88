"""Every setting of Longhaul, typed and documented; the only reader of the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).parent
MEGABYTE = 1_000_000

OPENAI_MODEL = "gpt-5-mini"
"""The model asked for when an endpoint is set and no model is named."""
OFFLINE_MODEL = "offline"

NOT_YET = ("LONGHAUL_API_KEYS", "LONGHAUL_USERS_FILE", "LONGHAUL_FILES_URL", "LONGHAUL_RETENTION_DAYS")
"""Variables of later versions: whoever sets one relies on it, so it must not be ignored."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def _names(text: object) -> object:
    """`a, b` → (a, b)."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _paths(text: object) -> object:
    return tuple(Path(part) for part in text.split(os.pathsep) if part) if isinstance(text, str) else text


def _http_url(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ValueError("an http:// or https:// address")
    return url


def _sqlite_only(url: str | None) -> str | None:
    if url is not None:
        raise ValueError("unset: this version stores everything in SQLite files in the data dir")
    return url


class Settings(BaseSettings):
    """One value for each variable. Construct with `load()`, which ends the process on a value that cannot be used."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    """Key for the model endpoint. Neither key nor URL: the built-in offline model answers."""
    openai_base_url: Annotated[str | None, AfterValidator(_http_url)] = Field(None, validation_alias="OPENAI_BASE_URL")
    """Any OpenAI-compatible endpoint; unset: OpenAI's own."""
    model: str = Field("", validation_alias="LONGHAUL_MODEL")
    """Model name sent upstream. Default: a current small OpenAI model, or `offline` without key and URL."""
    database_url: Annotated[str | None, AfterValidator(_sqlite_only)] = Field(None, validation_alias="DATABASE_URL")
    """Reserved for PostgreSQL; must be unset in this version."""
    data_dir: Path = Field(Path(".data"), validation_alias="LONGHAUL_DATA_DIR")
    """SQLite files, uploads, artifacts and the generated secret."""
    embedded_workers: int = Field(1, ge=0, le=64, validation_alias="LONGHAUL_EMBEDDED_WORKERS")
    """Worker processes that the web process starts and supervises; 0: workers are started separately."""
    worker_slots: int = Field(50, ge=1, le=10_000, validation_alias="LONGHAUL_WORKER_SLOTS")
    """Jobs that one worker runs at a time."""
    user_slots: int = Field(8, ge=1, le=10_000, validation_alias="LONGHAUL_USER_SLOTS")
    """Jobs of one user that run at a time; the rest wait. Does not apply to the shared user `local`."""
    tool_dirs: Annotated[tuple[Path, ...], NoDecode] = Field((Path("tools"),), validation_alias="LONGHAUL_TOOL_DIRS")
    """Directories whose `@tool` functions are loaded, separated like PATH."""
    allow_anonymous: bool = Field(False, validation_alias="LONGHAUL_ALLOW_ANONYMOUS")
    """Listen on other addresses than loopback although everybody is the one user `local`."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(LOOPBACK, validation_alias="LONGHAUL_ALLOWED_HOSTS")
    """`Host` values that are served, separated by commas, without ports; anything else is answered 421."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="LONGHAUL_ALLOWED_ORIGINS")
    """Browser origins besides our own that may call, separated by commas."""
    model_idle_seconds: float = Field(60, gt=0, le=3600, validation_alias="LONGHAUL_MODEL_IDLE_SECONDS")
    """Silence of the model endpoint after which a call fails."""
    requests_per_minute: float | None = Field(
        None, gt=0, le=10_000_000, validation_alias="LONGHAUL_REQUESTS_PER_MINUTE"
    )
    """Model calls that tools make, all workers together. Unset: no limit."""
    tokens_per_minute: float | None = Field(
        None, gt=0, le=1_000_000_000_000, validation_alias="LONGHAUL_TOKENS_PER_MINUTE"
    )
    """Tokens that these calls read and write. Unset: no limit."""
    mcp_servers: Path | None = Field(None, validation_alias="LONGHAUL_MCP_SERVERS")
    """A JSON file that names MCP servers, whose tools are offered like ours."""
    drain_seconds: float = Field(10, ge=0, le=3600, validation_alias="LONGHAUL_DRAIN_SECONDS")
    """Time that running steps get to reach a checkpoint when the server is stopped."""
    worker_ttl_seconds: float = Field(10, ge=1, le=3600, validation_alias="LONGHAUL_WORKER_TTL_SECONDS")
    """A worker whose heartbeat stands still for longer is given up; its jobs are taken over."""
    max_upload_mb: int = Field(200, ge=1, le=100_000, validation_alias="LONGHAUL_MAX_UPLOAD_MB")
    """Larger uploads are refused with 413."""
    max_body_mb: int = Field(4, ge=1, le=1_000, validation_alias="LONGHAUL_MAX_BODY_MB")
    """Larger messages and request bodies are refused."""

    def __init__(self, **values: object) -> None:
        for name, split in (("tool_dirs", _paths), ("allowed_hosts", _names), ("allowed_origins", _names)):
            variable = str(type(self).model_fields[name].validation_alias)
            if os.environ.get(variable):
                values.setdefault(variable, split(os.environ[variable]))
        super().__init__(**values)  # type: ignore[arg-type]

    @property
    def offline(self) -> bool:
        """No endpoint is configured: the built-in model answers."""
        return self.openai_api_key is None and self.openai_base_url is None

    @property
    def model_name(self) -> str:
        return OFFLINE_MODEL if self.offline else self.model or OPENAI_MODEL

    @property
    def data(self) -> Path:
        """The data dir, absolute. A relative one lies in the project's folder, wherever a process was started."""
        return (ROOT / self.data_dir).resolve()

    @property
    def tools(self) -> list[Path]:
        """The tool dirs, absolute, likewise."""
        return [(ROOT / path).resolve() for path in self.tool_dirs]

    @property
    def mcp_file(self) -> Path | None:
        """The file of MCP servers, absolute, likewise."""
        return None if self.mcp_servers is None else (ROOT / self.mcp_servers).resolve()

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * MEGABYTE

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * MEGABYTE

    @classmethod
    def load(cls) -> Self:
        """Read the environment. A value that cannot be used ends the process with one line and exit code 2."""
        for variable in NOT_YET:
            if os.environ.get(variable):
                refuse(f"{variable} cannot be used: this version does not know it yet. Unset it.")
        try:
            return cls()
        except ValidationError as error:
            refuse(describe(error))


def describe(error: ValidationError) -> str:
    """Variable, value, what is allowed. The value of a secret is left out."""
    first = error.errors(include_url=False)[0]
    variable = str(first["loc"][0])
    value = "" if "KEY" in variable or variable == "DATABASE_URL" else f" = {str(first['input'])[:80]!r}"
    allowed = first["msg"].removeprefix("Value error, ")
    return f"{variable}{value} cannot be used: {allowed[:1].lower()}{allowed[1:]}."


def refuse(sentence: str) -> NoReturn:
    """End a start that cannot go well. Not by an exception: Chainlit swallows those."""
    sys.stdout.flush()
    print(f"longhaul: {sentence}", file=sys.stderr, flush=True)  # noqa: T201  # there is no log yet
    os._exit(2)


def require_loopback(settings: Settings, host: str) -> None:
    """Everybody who reaches the server is the user `local`: refuse to serve others by accident."""
    if host not in {"localhost", "::1"} and not host.startswith("127.") and not settings.allow_anonymous:
        refuse(
            f"host {host!r} can be reached from other machines, and no login is set up. "
            "Listen on 127.0.0.1, or set LONGHAUL_ALLOW_ANONYMOUS=1 to serve everybody, "
            "and LONGHAUL_ALLOWED_HOSTS to the names this server is called by."
        )


def provide_to_chainlit(*, auth_secret: str) -> None:
    """Hand Chainlit what it reads from the environment itself; a secret that is set there already is kept."""
    os.environ.setdefault("CHAINLIT_AUTH_SECRET", auth_secret)
