"""All settings of Longhaul, typed and documented. This is the only reader of the environment."""

from __future__ import annotations

import difflib
import errno
import ipaddress
import logging
import os
import re
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self

from dotenv import load_dotenv
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from names import KEY_LINE, SHARED_USER

logger = logging.getLogger("longhaul")

ROOT = Path(__file__).parent
MEGABYTE = 1_000_000

OPENAI_MODEL = "gpt-5-mini"
"""The default model name when an endpoint is set."""
OFFLINE_MODEL = "offline"

NOT_YET = ("LONGHAUL_FILES_URL",)
"""Variables of later versions. An operator who sets one relies on it, so the start is refused."""

CLIENT_VARIABLES = frozenset({"LONGHAUL_URL", "LONGHAUL_API_KEY", "LONGHAUL_CLUSTER_DIR"})
"""Variables of the scripts, which a shell may also pass to the server."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
MAX_NAME_CHARACTERS = 100
MIN_KEY_CHARACTERS = 20
MAX_KEY_CHARACTERS = 500
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
"""What Chainlit requires for each login provider besides `OAUTH_…_CLIENT_ID` and `…_CLIENT_SECRET`."""

POSTED = "AZURE_AD_HYBRID"
"""The provider whose answer is a cross-site POST. Chainlit does not check that the browser has asked for it, either."""

CHAINLIT_FIELDS = frozenset({"ROOT", "RUN", "FEATURES", "UI", "PROJECT", "CODE"})
"""Variables that Chainlit reads, in any case, as its own configuration: their names have no prefix."""
CHAINLIT_OPTIONS = frozenset({"CI", "DEBUG", "NO_CACHE", "WATCH"})
"""Variables that `chainlit run` takes for its options. With `CI`, as on build machines, it replaces the model's key."""
CHAINLIT_FAKE_KEY = "sk-FAKE-OPENAI-API-KEY"
"""What it sets `OPENAI_API_KEY` to then."""


TOOL_VARIABLES = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"})
CERTIFICATES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
"""In lower or upper case."""
TOOL_PREFIX = "TOOL_"
"""The prefix of variables that are meant for tools."""


def _names(text: object) -> object:
    """`a, b` → (a, b)."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _origins(text: object) -> object:
    """Returns origins as browsers write them: in lower case, without a slash at the end."""
    names = _names(text)
    return tuple(name.lower().rstrip("/") for name in names) if isinstance(names, tuple) else names


FRAMING_SITE = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5}|:\*)?", re.IGNORECASE)


def _frame_ancestors(text: object) -> object:
    """`self https://example.org` → `'self' https://example.org`: shells remove the quotation marks."""
    sources = [part.strip("'") for part in str(text).split()]
    is_alone = "none" not in sources or len(sources) == 1
    if not sources or not is_alone or not all(s in {"self", "none"} or FRAMING_SITE.fullmatch(s) for s in sources):
        raise ValueError("'self', 'none', or origins such as https://example.org, separated by spaces")
    return " ".join(f"'{source}'" if source in {"self", "none"} else source for source in sources)


ALLOWED_ENTRY = re.compile(r"\*|group:\S.*|[^@\s]+@[^@\s]+|@?[\w-]+(\.[\w-]+)+|[\w/-]+")


def _oauth_allow(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Invalid entries would match no user."""
    if not all(ALLOWED_ENTRY.fullmatch(entry) for entry in entries):
        raise ValueError("addresses, domains such as @example.org, groups (group:NAME), separated by commas; or *")
    return entries


def _paths(text: object) -> object:
    return tuple(Path(part) for part in text.split(os.pathsep) if part) if isinstance(text, str) else text


def _directories(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """A mistyped one would leave the server without tools, and jobs waiting for them."""
    for path in paths:
        if not (ROOT / path).is_dir():
            raise ValueError(f"there is no directory {str(path)!r}")
    return paths


def _http_url(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ValueError("an http:// or https:// address")
    return url


POSTGRES_URL = re.compile(r"postgres(ql)?://([^@/%\s]|%[0-9a-fA-F]{2})*(@[^@\s]*)?(/[^@\s]*)?")


def _postgres_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not POSTGRES_URL.fullmatch(url.get_secret_value()):
        raise ValueError(
            "postgresql://user:password@host/database, with %40, %2F and %25 for @, / and % in the password"
        )
    return url


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


def _api_keys(text: object) -> object:
    """`a:key,b:key` → {a: key, b: key}. The error messages never repeat a key, or what may be one."""
    if not isinstance(text, str):
        return text
    keys: dict[str, SecretStr] = {}
    for number, part in enumerate(text.split(","), start=1):
        name, colon, key = (word.strip() for word in part.partition(":"))
        if not colon or not name or not key:
            raise ValueError(f"name:key[,name:key…], and entry {number} is not of that form")
        if problem := name_problem(name) or _key_problem(key):
            raise ValueError(f"in entry {number} {problem}")
        if name in keys or key in {known.get_secret_value() for known in keys.values()}:
            raise ValueError(f"each name and each key once, and entry {number} repeats one")
        keys[name] = SecretStr(key)
    return keys


def name_problem(name: str) -> str | None:
    if name == SHARED_USER:
        return f"the name is {SHARED_USER!r}, which is the shared user of a server without a login"
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        return f"the name must be at most {MAX_NAME_CHARACTERS} printable characters, without a space at either end"
    return None


def _key_problem(key: str) -> str | None:
    if not MIN_KEY_CHARACTERS <= len(key) <= MAX_KEY_CHARACTERS or not re.fullmatch(r"[!-~]+", key):
        return f"the key must be {MIN_KEY_CHARACTERS} to {MAX_KEY_CHARACTERS} printable ASCII characters without spaces"
    return None


def _users_file(path: Path | None) -> Path | None:
    """Check every line at the start; `accounts` reads the users."""
    if path is None:
        return None
    try:
        lines = (ROOT / path).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        raise ValueError("the path of a readable text file; scripts/add-user NAME writes one") from None
    seen: set[str] = set()
    for number, line in enumerate(map(str.strip, lines), start=1):
        name, _, stored = line.partition(":")
        if not line or line.startswith("#"):
            continue
        if not name or name in seen or name_problem(name) or not ARGON2.fullmatch(stored):
            raise ValueError(
                f"a file of lines name:argon2-hash, each name once and never {SHARED_USER!r}; "
                f"line {number} does not fit (scripts/add-user NAME writes one)"
            )
        seen.add(name)
    return path


def _keys_file(path: Path | None) -> Path | None:
    """Check every line at the start; `accounts` reads the keys."""
    if path is None:
        return None
    try:
        lines = (ROOT / path).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        raise ValueError("the path of a readable text file; scripts/keys add NAME writes one") from None
    seen = set[str]()
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        known = KEY_LINE.fullmatch(line)
        if known is None or known["name"] in seen or name_problem(known["name"]):
            raise ValueError(
                f"a file of lines 'digest expiry name', each name once and never {SHARED_USER!r}; "
                f"line {number} does not fit (scripts/keys add NAME writes one)"
            )
        seen.add(known["name"])
    return path


PostgresUrl = Annotated[SecretStr | None, AfterValidator(_postgres_url)]


def _real_key(key: SecretStr | None) -> SecretStr | None:
    return None if key is not None and key.get_secret_value() == CHAINLIT_FAKE_KEY else key


class Settings(BaseSettings):
    """One field for each variable. Construct it with `load()`, which ends the process on an unusable value."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    openai_api_key: Annotated[SecretStr | None, AfterValidator(_real_key)] = Field(
        None, validation_alias="OPENAI_API_KEY"
    )
    """The key for the model endpoint. With neither key nor URL, the built-in offline model answers."""
    openai_base_url: Annotated[str | None, AfterValidator(_http_url)] = Field(None, validation_alias="OPENAI_BASE_URL")
    """Any OpenAI-compatible endpoint. Default: OpenAI's."""
    model: str = Field("", validation_alias="LONGHAUL_MODEL")
    """Model name sent upstream. Default: a current small OpenAI model, or `offline` without key and URL."""
    database_url: PostgresUrl = Field(None, validation_alias="DATABASE_URL")
    """The PostgreSQL database of all processes. Default: SQLite files in the data dir."""
    listen_url: PostgresUrl = Field(None, validation_alias="LONGHAUL_LISTEN_URL")
    """The same database without a pooler before it, for LISTEN. Default: `DATABASE_URL`."""
    data_dir: Path = Field(Path(".data"), validation_alias="LONGHAUL_DATA_DIR")
    """Uploads, artifacts and the generated secret, and the SQLite files. All processes share it."""
    embedded_workers: int | None = Field(None, ge=0, le=64, validation_alias="LONGHAUL_EMBEDDED_WORKERS")
    """Worker processes that the web process starts and supervises; with 0, start workers separately. Default: 1 under
    `chainlit run`, 0 under `asgi:app`."""
    worker_slots: int = Field(50, ge=1, le=10_000, validation_alias="LONGHAUL_WORKER_SLOTS")
    """Jobs that one worker runs at a time."""
    user_slots: int = Field(8, ge=1, le=10_000, validation_alias="LONGHAUL_USER_SLOTS")
    """Jobs of one user that run at a time; the rest wait. Does not apply to the shared user `local`."""
    tool_processes: int = Field(8, ge=1, le=1_000, validation_alias="LONGHAUL_TOOL_PROCESSES")
    """Tools that one worker runs in processes of their own at a time; the rest wait, with fair turns between users."""
    tool_dirs: Annotated[tuple[Path, ...], NoDecode, AfterValidator(_directories)] = Field(
        (Path("tools"),), validation_alias="LONGHAUL_TOOL_DIRS"
    )
    """Directories whose `@tool` functions are loaded, separated like PATH."""
    agent_dirs: Annotated[tuple[Path, ...], NoDecode, AfterValidator(_directories)] = Field(
        (Path("agents"),), validation_alias="LONGHAUL_AGENT_DIRS"
    )
    """Directories whose `@agent` functions are loaded, separated like PATH."""
    api_keys: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_api_keys)] = Field(
        {}, validation_alias="LONGHAUL_API_KEYS"
    )
    """The key of each user of the HTTP API, `name:key[,name:key…]`. With keys, the API requires one."""
    api_keys_file: Annotated[Path | None, AfterValidator(_keys_file)] = Field(
        None, validation_alias="LONGHAUL_API_KEYS_FILE"
    )
    """Keys that `scripts/keys` adds, lists and revokes while the server runs. With it, the API requires a key."""
    api_requests_per_minute: int = Field(6000, ge=1, le=10_000_000, validation_alias="LONGHAUL_API_REQUESTS_PER_MINUTE")
    """Requests to the HTTP API that one user may make per minute; further ones are answered 429."""
    users_file: Annotated[Path | None, AfterValidator(_users_file)] = Field(
        None, validation_alias="LONGHAUL_USERS_FILE"
    )
    """The file of users who may log in with a password: lines `name:argon2-hash`."""
    oauth_allow: Annotated[tuple[str, ...], NoDecode, AfterValidator(_oauth_allow)] = Field(
        (), validation_alias="LONGHAUL_OAUTH_ALLOW"
    )
    """Who may log in by OAuth: confirmed addresses, domains, groups, separated by commas; `*`: any user."""
    session_days: float = Field(15, gt=0, le=3650, validation_alias="LONGHAUL_SESSION_DAYS")
    """How long a login in a browser lasts at most."""
    admins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="LONGHAUL_ADMINS")
    """Users who may see, stop and delete all users' jobs, separated by commas."""
    allow_anonymous: bool = Field(False, validation_alias="LONGHAUL_ALLOW_ANONYMOUS")
    """Serve other machines even without a login; all callers are then the one user `local`."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(LOOPBACK, validation_alias="LONGHAUL_ALLOWED_HOSTS")
    """`Host` values that are served, separated by commas, without ports; anything else is answered 421."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="LONGHAUL_ALLOWED_ORIGINS")
    """Browser origins that may call besides the server's own, separated by commas."""
    frame_ancestors: Annotated[str, BeforeValidator(_frame_ancestors)] = Field(
        "'self'", validation_alias="LONGHAUL_FRAME_ANCESTORS"
    )
    """Sites that may embed the pages in a frame, as in a Content-Security-Policy."""
    sse_ping_seconds: float = Field(5, gt=0, le=60, validation_alias="LONGHAUL_SSE_PING_SECONDS")
    """The longest silence on a stream of events, after which a comment is sent."""
    patience_hours: float = Field(6, ge=0, le=168, validation_alias="LONGHAUL_PATIENCE_HOURS")
    """How long the chat page and background responses try a failing model endpoint again."""
    model_idle_seconds: float = Field(60, gt=0, le=3600, validation_alias="LONGHAUL_MODEL_IDLE_SECONDS")
    """The silence of the model endpoint after which a call fails."""
    context_tokens: int = Field(60_000, ge=100, le=10_000_000, validation_alias="LONGHAUL_CONTEXT_TOKENS")
    """How much of a conversation is sent to the model, counted roughly; older messages are left out."""
    requests_per_minute: float | None = Field(
        None, gt=0, le=10_000_000, validation_alias="LONGHAUL_REQUESTS_PER_MINUTE"
    )
    """Model calls per minute, over all workers. Default: no limit."""
    tokens_per_minute: float | None = Field(
        None, gt=0, le=1_000_000_000_000, validation_alias="LONGHAUL_TOKENS_PER_MINUTE"
    )
    """Tokens that these calls read and write per minute. Default: no limit."""
    mcp_servers: Path | None = Field(None, validation_alias="LONGHAUL_MCP_SERVERS")
    """A JSON file of MCP servers, whose tools are offered like the others."""
    prices: Path | None = Field(None, validation_alias="LONGHAUL_PRICES")
    """A JSON file of what a million tokens of each model cost; then the page shows money."""
    drain_seconds: float = Field(10, ge=0, le=3600, validation_alias="LONGHAUL_DRAIN_SECONDS")
    """How long running steps may take to reach a checkpoint when the server is stopped."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", validation_alias="LONGHAUL_LOG_LEVEL"
    )
    """The least level of the lines that are written."""
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        "text", validation_alias="LONGHAUL_LOG_FORMAT"
    )
    """Lines for people, or JSON for collectors."""
    worker_ttl_seconds: float = Field(10, ge=1, le=3600, validation_alias="LONGHAUL_WORKER_TTL_SECONDS")
    """A worker whose heartbeat stands still for longer counts as stopped, and its jobs are taken over."""
    max_upload_mb: int = Field(200, ge=1, le=100_000, validation_alias="LONGHAUL_MAX_UPLOAD_MB")
    """Larger uploads are refused with 413."""
    user_queue: int = Field(200, ge=1, le=1_000_000, validation_alias="LONGHAUL_USER_QUEUE")
    """Jobs of one user that may wait; further ones are answered 429."""
    user_storage_mb: int = Field(5_000, ge=1, le=100_000_000, validation_alias="LONGHAUL_USER_STORAGE_MB")
    """Uploads and artifacts that one user may store; what would be more is refused with 413."""
    retention_days: float | None = Field(None, gt=0, le=36_500, validation_alias="LONGHAUL_RETENTION_DAYS")
    """Conversations and jobs that ended longer ago are deleted, with all that belongs to them. Default: kept."""
    max_answer_mb: float = Field(2, gt=0, le=100, validation_alias="LONGHAUL_MAX_ANSWER_MB")
    """A longer answer of the model is cut off there, and its job ends as incomplete."""
    max_body_mb: int = Field(4, ge=1, le=1_000, validation_alias="LONGHAUL_MAX_BODY_MB")
    """Larger messages and request bodies are refused."""

    min_free_mb: int = Field(500, ge=0, le=100_000_000, validation_alias="LONGHAUL_MIN_FREE_MB")
    """With less free space in the data dir, the log warns, and `/readyz` says so."""

    def __init__(self, **values: object) -> None:
        for name, split in (
            ("tool_dirs", _paths),
            ("agent_dirs", _paths),
            ("allowed_hosts", _names),
            ("allowed_origins", _origins),
            ("admins", _names),
            ("oauth_allow", _names),
        ):
            variable = str(type(self).model_fields[name].validation_alias)
            if os.environ.get(variable):
                values.setdefault(variable, split(os.environ[variable]))
        super().__init__(**values)  # type: ignore[arg-type]

    @property
    def offline(self) -> bool:
        """Whether no endpoint is configured, so that the built-in model answers."""
        return self.openai_api_key is None and self.openai_base_url is None

    @property
    def model_name(self) -> str:
        return OFFLINE_MODEL if self.offline else self.model or OPENAI_MODEL

    @property
    def data(self) -> Path:
        """The absolute data directory. A relative one starts at the project's folder, wherever the process starts."""
        return (ROOT / self.data_dir).resolve()

    @property
    def tools(self) -> list[Path]:
        """The absolute tool directories, resolved in the same way."""
        return [(ROOT / path).resolve() for path in self.tool_dirs]

    @property
    def agents(self) -> list[Path]:
        """The absolute agent directories, resolved in the same way."""
        return [(ROOT / path).resolve() for path in self.agent_dirs]

    @property
    def mcp_file(self) -> Path | None:
        """The absolute file of MCP servers, resolved in the same way."""
        return _from_root(self.mcp_servers)

    @property
    def prices_path(self) -> Path | None:
        """The absolute file of prices, resolved in the same way."""
        return _from_root(self.prices)

    @property
    def users_path(self) -> Path | None:
        """The absolute users file, resolved in the same way."""
        return _from_root(self.users_file)

    @property
    def api_keys_path(self) -> Path | None:
        """The absolute file of API keys, resolved in the same way."""
        return _from_root(self.api_keys_file)

    @property
    def has_keys(self) -> bool:
        """Whether the API demands a key, even while its file holds none."""
        return bool(self.api_keys) or self.api_keys_file is not None

    @property
    def has_oauth(self) -> bool:
        """Whether Chainlit's own variables configure a login provider."""
        return any(not _missing(provider) for provider in OAUTH_VARIABLES)

    @property
    def one_tenant(self) -> bool:
        """Whether Microsoft accepts only the accounts of one tenant; otherwise it accepts all."""
        return bool(os.environ.get("OAUTH_AZURE_AD_ENABLE_SINGLE_TENANT"))

    @property
    def generic_subject(self) -> str | None:
        """The claim that tells the users of the generic provider apart, if it is named."""
        return os.environ.get("OAUTH_GENERIC_USER_IDENTIFIER") or None

    @property
    def public_providers(self) -> list[str]:
        """The configured providers where anyone has an account or can create one."""
        public = ["GOOGLE"]
        if not os.environ.get("OAUTH_GITHUB_AUTH_URL"):
            public.append("GITHUB")
        if not self.one_tenant:
            public.append("AZURE_AD")
        if re.fullmatch(r"(https?://)?(www\.)?gitlab\.com/*", os.environ.get("OAUTH_GITLAB_DOMAIN", ""), re.IGNORECASE):
            public.append("GITLAB")
        return sorted(provider for provider in public if not _missing(provider))

    @property
    def has_login(self) -> bool:
        """Whether people must log in, so that no caller is the shared user."""
        return self.users_file is not None or self.has_oauth

    @property
    def public_names(self) -> tuple[str, ...]:
        """The allowed hosts by which other machines may call."""
        return tuple(name for name in self.allowed_hosts if not is_loopback(name))

    @property
    def api_only(self) -> bool:
        """Whether programs may call with a key but there is no login, so that no page is served."""
        without_login = not self.has_login and not self.allow_anonymous
        return without_login and bool(self.public_names) and self.has_keys

    @property
    def traces(self) -> bool:
        """Whether OpenTelemetry's variables name a collector and leave traces on. Its SDK reads the rest."""
        endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        exporters = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
        disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        return any(map(os.environ.get, endpoints)) and "otlp" in exporters.split(",") and not disabled

    @property
    def tool_environment(self) -> dict[str, str]:
        """The variables that tool code receives. The others may hold secrets, and tools do not need them."""
        return {name: value for name, value in os.environ.items() if _is_for_tools(name)}

    @property
    def user_storage_bytes(self) -> int:
        return self.user_storage_mb * MEGABYTE

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * MEGABYTE

    @property
    def patience_seconds(self) -> float:
        return self.patience_hours * 3600

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * MEGABYTE

    @classmethod
    def load(cls) -> Self:
        """Read the environment. An unusable value ends the process with one line and exit code 2.

        A `.env` file in the current folder counts as part of it: Chainlit reads that file too, but only when it is
        imported, which is too late for half of the server.
        """
        load_dotenv(Path.cwd() / ".env")
        for variable in NOT_YET:
            if os.environ.get(variable):
                refuse(f"{variable} cannot be used: this version does not support it yet. Unset it.")
        for provider in OAUTH_VARIABLES:
            # Chainlit ignores such a provider, and would not ask users to log in.
            if os.environ.get(f"OAUTH_{provider}_CLIENT_ID") and (missing := _missing(provider)):
                refuse(f"OAUTH_{provider}_CLIENT_ID cannot be used: {' and '.join(missing)} must be set as well.")
        if os.environ.get(f"OAUTH_{POSTED}_CLIENT_ID"):
            refuse(
                f"OAUTH_{POSTED}_CLIENT_ID cannot be used: this login returns as a POST from another site, which is "
                "refused here. Use OAUTH_AZURE_AD_… instead (docs/accounts.md)."
            )
        try:
            settings = cls()
        except ValidationError as error:
            refuse(describe(error))
        if settings.public_providers and not settings.oauth_allow:
            refuse(
                f"OAUTH_{settings.public_providers[0]}_CLIENT_ID cannot be used: anyone can have an account there. "
                "Set LONGHAUL_OAUTH_ALLOW to the addresses, domains (@example.org) or groups that may log in, or to *."
            )
        if twice := sorted(_names_in_keys_file(settings.api_keys_path) & settings.api_keys.keys()):
            refuse(
                f"LONGHAUL_API_KEYS_FILE cannot be used: {twice[0]!r} has a key in it and in LONGHAUL_API_KEYS. "
                f"Keep one of them (scripts/keys revoke NAME removes it from the file)."
            )
        return settings


def _from_root(path: Path | None) -> Path | None:
    return None if path is None else (ROOT / path).resolve()


def _names_in_keys_file(path: Path | None) -> set[str]:
    lines = [] if path is None else path.read_text("utf-8").splitlines()
    return {known["name"] for line in lines if (known := KEY_LINE.fullmatch(line.strip()))}


def _missing(provider: str) -> list[str]:
    names = ("CLIENT_ID", "CLIENT_SECRET", *OAUTH_VARIABLES[provider])
    variables = [f"OAUTH_{provider}_{name}" for name in names]
    return [variable for variable in variables if not os.environ.get(variable)]


def _is_for_tools(name: str) -> bool:
    return name in TOOL_VARIABLES | CERTIFICATES or name.lower() in PROXIES or name.startswith(("LC_", TOOL_PREFIX))


def describe(error: ValidationError) -> str:
    """Returns a sentence with the variable, its value unless that is a secret, and what is allowed."""
    first = error.errors(include_url=False)[0]
    variable = str(first["loc"][0])
    given = os.environ.get(variable) if isinstance(first["input"], tuple) else first["input"]  # a tuple was split
    value = "" if variable in _secrets() else f" = {str(given)[:80]!r}"
    allowed = first["msg"].removeprefix("Value error, ")
    return f"{variable}{value} cannot be used: {allowed[:1].lower()}{allowed[1:]}."


def _secrets() -> set[str]:
    """Returns the variables whose values must not be printed."""
    fields = Settings.model_fields.values()
    return {str(field.validation_alias) for field in fields if SecretStr.__name__ in str(field.annotation)}


def refuse(sentence: str) -> NoReturn:
    """End the process with a sentence. Chainlit would swallow an exception."""
    sys.stdout.flush()
    print(f"longhaul: {sentence}", file=sys.stderr, flush=True)  # noqa: T201  # there is no log yet
    os._exit(2)


def is_loopback(name: str) -> bool:
    """Whether a host name or address means the machine that uses it. Odd spellings (`127.1`) do not count."""
    plain = name.lower().removesuffix(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(plain.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def require_login(settings: Settings, host: str) -> None:
    """Refuse to start an unguarded server that other machines can reach, or are meant to reach.

    Without a login, every caller of the page is the user `local`. API keys guard the API, and turn the page off
    once the allowed hosts name the server for other machines (`api_only`).
    """
    if settings.has_login or settings.allow_anonymous or settings.api_only:
        if not is_loopback(host) and not settings.public_names:
            logger.warning("LONGHAUL_ALLOWED_HOSTS has no name of this server; other machines are answered 421")
        return
    if settings.public_names:
        refuse(
            f"LONGHAUL_ALLOWED_HOSTS has {settings.public_names[0]!r}, which other machines may use, and neither "
            "a login nor API keys are set up. Set up a login with LONGHAUL_USERS_FILE or OAUTH_… (docs/accounts.md), "
            "or LONGHAUL_API_KEYS to serve only the API, or set LONGHAUL_ALLOW_ANONYMOUS=1 to serve everyone."
        )
    if not is_loopback(host):
        refuse(
            f"host {host!r} can be reached from other machines, and no login is set up. "
            "Listen on 127.0.0.1, or set up a login with LONGHAUL_USERS_FILE or OAUTH_… (docs/accounts.md), "
            "or set LONGHAUL_ALLOW_ANONYMOUS=1 to serve everyone, "
            "and LONGHAUL_ALLOWED_HOSTS to the host names of this server."
        )


def check_port(host: str, port: int) -> None:
    """Refuse to start where another program listens: Chainlit would end as if all had gone well."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                refuse(f"Port {port} is in use. End the program that uses it, or choose another port with --port.")


def warn_of_unknown_variables() -> None:
    """A misspelt variable has no effect."""
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for name in sorted(os.environ):
        if name.startswith("LONGHAUL_") and name not in known | CLIENT_VARIABLES:
            similar = next(iter(difflib.get_close_matches(name, known, n=1)), None)
            logger.warning("unknown variable ignored", extra={"fields": {"variable": name, "similar": similar}})


def refuse_chainlits_fields() -> None:
    """Refuse variables that Chainlit would read as its own configuration, and so fail with a traceback or change."""
    for name in os.environ:
        if name.upper() in CHAINLIT_FIELDS:
            refuse(f"The variable {name} cannot be set: Chainlit reads it as its configuration. Unset it.")


def ignore_files_of_callers() -> None:
    """For a worker that its web process starts: a file that has become unusable must not keep jobs from running."""
    for variable in ("LONGHAUL_USERS_FILE", "LONGHAUL_API_KEYS_FILE"):
        os.environ[variable] = ""


def provide_to_chainlit(*, auth_secret: str) -> None:
    """Set what Chainlit itself reads from the environment. Keeps a secret that is already set."""
    if not os.environ.get("CHAINLIT_AUTH_SECRET"):  # Chainlit takes an empty one for none
        os.environ["CHAINLIT_AUTH_SECRET"] = auth_secret
