"""Every setting of Longhaul, typed and documented; the only reader of the environment."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).parent
MEGABYTE = 1_000_000

OPENAI_MODEL = "gpt-5-mini"
"""The model asked for when an endpoint is set and no model is named."""
OFFLINE_MODEL = "offline"

NOT_YET = ("LONGHAUL_FILES_URL", "LONGHAUL_RETENTION_DAYS")
"""Variables of later versions: whoever sets one relies on it, so it must not be ignored."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

LOCAL = "local"
"""The shared user of a server without login: nobody else may be called so."""
NAME_CHARACTERS = 100
KEY_LEAST_CHARACTERS = 20
KEY_CHARACTERS = 500
ARGON2 = re.compile(r"\$argon2(id|i|d)(\$v=\d+)?\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")

OAUTH_VARIABLES = {
    "GITHUB": (),
    "GOOGLE": (),
    "AZURE_AD": ("TENANT_ID",),
    "AZURE_AD_HYBRID": ("TENANT_ID",),
    "OKTA": ("DOMAIN",),
    "AUTH0": ("DOMAIN",),
    "DESCOPE": (),
    "COGNITO": ("DOMAIN",),
    "GITLAB": ("DOMAIN",),
    "KEYCLOAK": ("REALM", "BASE_URL"),
    "GENERIC": ("AUTH_URL", "TOKEN_URL", "USER_INFO_URL", "SCOPES"),
}
"""What Chainlit wants of each login provider besides `OAUTH_…_CLIENT_ID` and `…_CLIENT_SECRET`."""

CHAINLIT_FIELDS = frozenset({"ROOT", "RUN", "FEATURES", "UI", "PROJECT", "CODE"})
"""Names that Chainlit takes for its own configuration, in capitals or not, without a prefix of its own."""


TOOL_VARIABLES = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"})
CERTIFICATES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
"""In small or capital letters."""
OF_TOOLS = "TOOL_"
"""Begins the name of a variable that is meant for tools."""


def _names(text: object) -> object:
    """`a, b` → (a, b)."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _origins(text: object) -> object:
    """As browsers write them: in small letters, without a slash at the end."""
    names = _names(text)
    return tuple(name.lower().rstrip("/") for name in names) if isinstance(names, tuple) else names


FRAMING_SITE = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5}|:\*)?", re.IGNORECASE)


def _frame_ancestors(text: object) -> object:
    """`self https://example.org` → `'self' https://example.org`: shells eat the quotation marks."""
    sources = [part.strip("'") for part in str(text).split()]
    is_alone = "none" not in sources or len(sources) == 1
    if not sources or not is_alone or not all(s in {"self", "none"} or FRAMING_SITE.fullmatch(s) for s in sources):
        raise ValueError("'self', 'none', or origins such as https://example.org, separated by spaces")
    return " ".join(f"'{source}'" if source in {"self", "none"} else source for source in sources)


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


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


def _api_keys(text: object) -> object:
    """`a:key,b:key` → {a: key, b: key}. No sentence of this repeats a key, or what may be one."""
    if not isinstance(text, str):
        return text
    keys: dict[str, SecretStr] = {}
    for number, part in enumerate(text.split(","), start=1):
        name, colon, key = (word.strip() for word in part.partition(":"))
        if not colon or not name or not key:
            raise ValueError(f"name:key[,name:key…], and entry {number} is not of that form")
        if problem := _name_problem(name) or _key_problem(key):
            raise ValueError(f"in entry {number} {problem}")
        if name in keys or key in {known.get_secret_value() for known in keys.values()}:
            raise ValueError(f"each name and each key once, and entry {number} repeats one")
        keys[name] = SecretStr(key)
    return keys


def _name_problem(name: str) -> str | None:
    if name == LOCAL:
        return f"the name is {LOCAL!r}, which is the shared user of a server without login"
    if len(name) > NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        return f"the name must be at most {NAME_CHARACTERS} printable characters, none of them a space at its end"
    return None


def _key_problem(key: str) -> str | None:
    if not KEY_LEAST_CHARACTERS <= len(key) <= KEY_CHARACTERS or not re.fullmatch(r"[!-~]+", key):
        return f"the key must be {KEY_LEAST_CHARACTERS} to {KEY_CHARACTERS} printable ASCII characters without spaces"
    return None


def _users_file(path: Path | None) -> Path | None:
    """Look at every line once, at the start; `accounts` reads them."""
    if path is None:
        return None
    try:
        lines = (ROOT / path).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        raise ValueError("the path of a text file that can be read; scripts/add-user NAME writes one") from None
    seen: set[str] = set()
    for number, line in enumerate(map(str.strip, lines), start=1):
        name, _, stored = line.partition(":")
        if not line or line.startswith("#"):
            continue
        if not name or name in seen or _name_problem(name) or not ARGON2.fullmatch(stored):
            raise ValueError(
                f"a file of lines name:argon2-hash, each name once and none of them {LOCAL!r}; "
                f"line {number} is not like that (scripts/add-user NAME writes one)"
            )
        seen.add(name)
    return path


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
    embedded_workers: int | None = Field(None, ge=0, le=64, validation_alias="LONGHAUL_EMBEDDED_WORKERS")
    """Worker processes that the web process starts and supervises; 0: workers are started separately. Unset: the
    entry decides, 1 under `chainlit run` and 0 under `asgi:app`."""
    worker_slots: int = Field(50, ge=1, le=10_000, validation_alias="LONGHAUL_WORKER_SLOTS")
    """Jobs that one worker runs at a time."""
    user_slots: int = Field(8, ge=1, le=10_000, validation_alias="LONGHAUL_USER_SLOTS")
    """Jobs of one user that run at a time; the rest wait. Does not apply to the shared user `local`."""
    tool_dirs: Annotated[tuple[Path, ...], NoDecode] = Field((Path("tools"),), validation_alias="LONGHAUL_TOOL_DIRS")
    """Directories whose `@tool` functions are loaded, separated like PATH."""
    api_keys: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_api_keys)] = Field(
        {}, validation_alias="LONGHAUL_API_KEYS"
    )
    """Key of each user of the HTTP API, `name:key[,name:key…]`. With keys, the API asks for one."""
    api_requests_per_minute: int = Field(6000, ge=1, le=10_000_000, validation_alias="LONGHAUL_API_REQUESTS_PER_MINUTE")
    """Requests to the HTTP API that one user may make in a minute; more are answered 429."""
    users_file: Annotated[Path | None, AfterValidator(_users_file)] = Field(
        None, validation_alias="LONGHAUL_USERS_FILE"
    )
    """Who may log in with a password: lines `name:argon2-hash`."""
    allow_anonymous: bool = Field(False, validation_alias="LONGHAUL_ALLOW_ANONYMOUS")
    """Serve others than this machine although everybody is the one user `local`."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(LOOPBACK, validation_alias="LONGHAUL_ALLOWED_HOSTS")
    """`Host` values that are served, separated by commas, without ports; anything else is answered 421."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="LONGHAUL_ALLOWED_ORIGINS")
    """Browser origins besides our own that may call, separated by commas."""
    frame_ancestors: Annotated[str, BeforeValidator(_frame_ancestors)] = Field(
        "'self'", validation_alias="LONGHAUL_FRAME_ANCESTORS"
    )
    """Sites that may show our pages in a frame, as a Content-Security-Policy has them."""
    sse_ping_seconds: float = Field(5, gt=0, le=60, validation_alias="LONGHAUL_SSE_PING_SECONDS")
    """Longest silence on a stream of events; then a comment is sent."""
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
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", validation_alias="LONGHAUL_LOG_LEVEL"
    )
    """The least level of the lines that are written."""
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        "text", validation_alias="LONGHAUL_LOG_FORMAT"
    )
    """Lines for people, or JSON for collectors."""
    worker_ttl_seconds: float = Field(10, ge=1, le=3600, validation_alias="LONGHAUL_WORKER_TTL_SECONDS")
    """A worker whose heartbeat stands still for longer is given up; its jobs are taken over."""
    max_upload_mb: int = Field(200, ge=1, le=100_000, validation_alias="LONGHAUL_MAX_UPLOAD_MB")
    """Larger uploads are refused with 413."""
    max_body_mb: int = Field(4, ge=1, le=1_000, validation_alias="LONGHAUL_MAX_BODY_MB")
    """Larger messages and request bodies are refused."""

    def __init__(self, **values: object) -> None:
        for name, split in (("tool_dirs", _paths), ("allowed_hosts", _names), ("allowed_origins", _origins)):
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
    def users_path(self) -> Path | None:
        """The users file, absolute, likewise."""
        return None if self.users_file is None else (ROOT / self.users_file).resolve()

    @property
    def has_oauth(self) -> bool:
        """A login provider is configured, by Chainlit's own variables."""
        return any(not _missing(provider) for provider in OAUTH_VARIABLES)

    @property
    def has_login(self) -> bool:
        """People are told apart: nobody comes in as the shared user."""
        return self.users_file is not None or self.has_oauth

    @property
    def public_names(self) -> tuple[str, ...]:
        """Names among the allowed hosts by which other machines may call."""
        return tuple(name for name in self.allowed_hosts if not is_loopback(name))

    @property
    def api_only(self) -> bool:
        """Others may call with a key, and nobody can log in: there is no page."""
        without_login = not self.has_login and not self.allow_anonymous
        return without_login and bool(self.public_names) and bool(self.api_keys)

    @property
    def traces(self) -> bool:
        """OpenTelemetry's own variables name a collector, and do not switch traces off. Its SDK reads the rest."""
        endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        exporters = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
        disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        return any(map(os.environ.get, endpoints)) and "otlp" in exporters.split(",") and not disabled

    @property
    def tool_environment(self) -> dict[str, str]:
        """The variables that tool code gets. The others hold secrets, or are none of its business."""
        return {name: value for name, value in os.environ.items() if _is_for_tools(name)}

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
        for provider in OAUTH_VARIABLES:
            # Chainlit passes over such a provider: nobody would be asked to log in.
            if os.environ.get(f"OAUTH_{provider}_CLIENT_ID") and (missing := _missing(provider)):
                refuse(f"OAUTH_{provider}_CLIENT_ID cannot be used: {' and '.join(missing)} must be set as well.")
        try:
            return cls()
        except ValidationError as error:
            refuse(describe(error))


def _missing(provider: str) -> list[str]:
    names = ("CLIENT_ID", "CLIENT_SECRET", *OAUTH_VARIABLES[provider])
    variables = [f"OAUTH_{provider}_{name}" for name in names]
    return [variable for variable in variables if not os.environ.get(variable)]


def _is_for_tools(name: str) -> bool:
    return name in TOOL_VARIABLES | CERTIFICATES or name.lower() in PROXIES or name.startswith(("LC_", OF_TOOLS))


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


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this machine, wherever it is said. Odd spellings (`127.1`) do not count."""
    plain = name.lower().removesuffix(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(plain.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def require_login(settings: Settings, host: str) -> None:
    """Refuse to start a server that others are meant to reach, or can, and that nothing guards.

    Without login everybody who reaches the page is the user `local`. API keys guard the API, and close the page as
    soon as the server has a name for others (`api_only`).
    """
    if settings.has_login or settings.allow_anonymous or settings.api_only:
        return
    if settings.public_names:
        refuse(
            f"LONGHAUL_ALLOWED_HOSTS has {settings.public_names[0]!r}, by which other machines may call, and neither "
            "a login nor API keys are set up. Set up a login with LONGHAUL_USERS_FILE or OAUTH_… (docs/accounts.md), "
            "or LONGHAUL_API_KEYS to serve the API only, or set LONGHAUL_ALLOW_ANONYMOUS=1 to serve everybody."
        )
    if not is_loopback(host):
        refuse(
            f"host {host!r} can be reached from other machines, and no login is set up. "
            "Listen on 127.0.0.1, or set up a login with LONGHAUL_USERS_FILE or OAUTH_… (docs/accounts.md), "
            "or set LONGHAUL_ALLOW_ANONYMOUS=1 to serve everybody, "
            "and LONGHAUL_ALLOWED_HOSTS to the names this server is called by."
        )


def refuse_chainlits_fields() -> None:
    """Chainlit would take such a variable for its own configuration, and die of it with a trace, or change."""
    for name in os.environ:
        if name.upper() in CHAINLIT_FIELDS:
            refuse(f"The variable {name} cannot be set: Chainlit reads it as its configuration. Unset it.")


def provide_to_chainlit(*, auth_secret: str) -> None:
    """Hand Chainlit what it reads from the environment itself; a secret that is set there already is kept."""
    if not os.environ.get("CHAINLIT_AUTH_SECRET"):  # an empty one is as good as none
        os.environ["CHAINLIT_AUTH_SECRET"] = auth_secret
