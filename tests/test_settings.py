"""Settings: every variable, its default, and what happens to a value that cannot be used."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.models import ModelSettings
from services.worker import model_settings
from settings import (
    CHAINLIT_FAKE_KEY,
    CHAINLIT_FIELDS,
    CHAINLIT_OPTIONS,
    OAUTH_VARIABLES,
    OPENAI_MODEL,
    Settings,
    describe,
    require_login,
    warn_of_unknown_variables,
)
from tests.ports import free_port

ROOT = Path(__file__).parent.parent


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("LONGHAUL_", "OPENAI_", "OAUTH_"))
    }
    return subprocess.run(
        command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_how_much_of_a_conversation_workers_send_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_settings(Settings.load()) == ModelSettings(model="offline")
    monkeypatch.setenv("LONGHAUL_CONTEXT_TOKENS", "2000")
    assert model_settings(Settings.load()).context_tokens == 2000


def test_without_an_endpoint_the_offline_model_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().model_name == "offline"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    assert Settings.load().model_name == OPENAI_MODEL
    monkeypatch.setenv("LONGHAUL_MODEL", "llama")
    assert Settings.load().model_name == "llama"


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_TOOL_DIRS", os.pathsep.join(["tools", "tests/fixture_tools"]))
    monkeypatch.setenv("LONGHAUL_ALLOWED_HOSTS", "a.example, b.example")
    settings = Settings.load()
    assert settings.tool_dirs == (Path("tools"), Path("tests/fixture_tools"))
    assert settings.allowed_hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("self", "'self'"),
        ("'none'", "'none'"),
        ("'self'  https://a.example:8443 https://*.b.example", "'self' https://a.example:8443 https://*.b.example"),
    ],
)
def test_who_may_frame_the_pages_is_named_with_and_without_quotation_marks(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    assert Settings.load().frame_ancestors == "'self'"
    monkeypatch.setenv("LONGHAUL_FRAME_ANCESTORS", written)
    assert Settings.load().frame_ancestors == meant


@pytest.mark.parametrize(
    "value",
    ["*", "example.org", "none self", "https://a.b; script-src *", "https://a.b,c", "https://a/b", "https:", " "],
)  # fmt: skip
def test_who_may_frame_the_pages_is_named_by_origins(value: str) -> None:
    with pytest.raises(ValidationError, match="or origins such as"):
        Settings(LONGHAUL_FRAME_ANCESTORS=value)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_WORKER_SLOTS", "")
    monkeypatch.setenv("LONGHAUL_TOOL_DIRS", "")
    assert Settings.load() == Settings()


BAD = [
    ("LONGHAUL_WORKER_SLOTS", "many"),
    ("LONGHAUL_WORKER_SLOTS", "0"),
    ("LONGHAUL_EMBEDDED_WORKERS", "-1"),
    ("LONGHAUL_WORKER_TTL_SECONDS", "nan"),
    ("LONGHAUL_DRAIN_SECONDS", "-1"),
    ("LONGHAUL_ALLOW_ANONYMOUS", "perhaps"),
    ("LONGHAUL_TOOL_DIRS", os.pathsep.join(["tools", "tolls"])),
    ("LONGHAUL_AGENT_DIRS", "agent"),
    ("LONGHAUL_USERS_FILE", "users.txt"),
    ("LONGHAUL_SSE_PING_SECONDS", "0"),
    ("LONGHAUL_API_REQUESTS_PER_MINUTE", "0.5"),
    ("LONGHAUL_API_KEYS_FILE", "keys.txt"),
    ("LONGHAUL_API_KEYS", "hunter2"),
    ("LONGHAUL_API_KEYS", "alice:hunter2"),
    ("OAUTH_GOOGLE_CLIENT_ID", "hunter2"),
    ("LONGHAUL_FRAME_ANCESTORS", "everybody"),
    ("LONGHAUL_FILES_URL", "s3://bucket"),
    ("OPENAI_BASE_URL", "localhost:11434"),
    ("DATABASE_URL", "mysql://user:hunter2@db/x"),
    ("LONGHAUL_LISTEN_URL", "mysql://user:hunter2@db/x"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value[:10]}" for name, value in BAD])
def test_a_value_that_cannot_be_used_stops_the_start_with_one_line(name: str, value: str) -> None:
    ended = start(sys.executable, "worker.py", **{name: value})
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"longhaul: {name}")
    assert "cannot be used" in line
    assert "hunter2" not in line


def test_the_server_stops_with_the_same_line_although_its_framework_swallows_errors(tmp_path: Path) -> None:
    chainlit = str(Path(sys.executable).parent / "chainlit")
    ended = start(chainlit, "run", "app.py", "-h", LONGHAUL_WORKER_SLOTS="many", LONGHAUL_DATA_DIR=str(tmp_path))
    assert ended.returncode == 2
    assert [line for line in ended.stderr.splitlines() if "LONGHAUL_WORKER_SLOTS = 'many' cannot be used" in line]
    assert "Traceback" not in ended.stderr


def test_the_server_refuses_to_listen_where_others_can_reach_it(tmp_path: Path) -> None:
    chainlit = str(Path(sys.executable).parent / "chainlit")
    ended = start(chainlit, "run", "app.py", "-h", "--host", "0.0.0.0", LONGHAUL_DATA_DIR=str(tmp_path))
    assert ended.returncode == 2
    assert "LONGHAUL_ALLOW_ANONYMOUS=1" in ended.stderr


def refused(tmp_path: Path, *options: str, **environment: str) -> list[str]:
    """The lines of a server that does not start."""
    chainlit = str(Path(sys.executable).parent / "chainlit")
    ended = start(
        chainlit, "run", "app.py", "-h", *options, **{"LONGHAUL_DATA_DIR": str(tmp_path / "data"), **environment}
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    return [line.removeprefix("longhaul: ") for line in ended.stderr.splitlines()]


def test_a_data_dir_where_nothing_can_be_stored_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, why in [(file, f"{str(file)!r} is not a directory"), (Path("/proc/data"), "No such file or directory")]:
        [line] = refused(tmp_path, LONGHAUL_DATA_DIR=str(path))
        assert line == f"LONGHAUL_DATA_DIR = {str(path)!r} cannot be used: {why}."


def test_a_missing_file_of_mcp_servers_is_refused_in_one_line(tmp_path: Path) -> None:
    [line] = refused(tmp_path, LONGHAUL_MCP_SERVERS="nowhere.json")
    assert line == "LONGHAUL_MCP_SERVERS = 'nowhere.json' cannot be used: there is no such file."


def test_a_port_in_use_is_refused_in_one_line_and_watch_is_ignored_in_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        watched, line = refused(tmp_path, "--watch", "--port", str(port))
    assert watched.endswith(
        "WARNING --watch is ignored; restart the server to load changed files, and its jobs continue"
    )
    assert line.startswith(f"Port {port} is in use. End the program that uses it, or choose another port")


def test_a_name_that_is_an_agents_and_a_tools_stops_the_server(tmp_path: Path) -> None:
    (tmp_path / "query_table.py").write_text(
        "from toolkit import AgentContext, agent\n\n"
        '@agent\nasync def query_table(ctx: AgentContext) -> None:\n    """Hi."""\n'
    )
    *_, why, line = refused(tmp_path, "--port", str(free_port()), LONGHAUL_AGENT_DIRS=str(tmp_path))
    assert why == "'query_table' is the name of an agent and of a tool: rename one of them."
    assert line == "No worker can start. Its message above says why."


def test_misspelt_variables_are_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("LONGHAUL_DATA_DRI", "here")
    monkeypatch.setenv("LONGHAUL_API_KEY", "a client's")
    warn_of_unknown_variables()
    (record,) = caplog.records
    assert record.__dict__["fields"] == {"variable": "LONGHAUL_DATA_DRI", "similar": "LONGHAUL_DATA_DIR"}


def test_a_server_for_others_without_a_name_of_its_own_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LONGHAUL_ALLOW_ANONYMOUS", "1")
    require_login(Settings.load(), "127.0.0.1")
    assert not caplog.records
    require_login(Settings.load(), "0.0.0.0")
    assert "other machines are answered 421" in caplog.text
    monkeypatch.setenv("LONGHAUL_ALLOWED_HOSTS", "longhaul.example")
    caplog.clear()
    require_login(Settings.load(), "0.0.0.0")
    assert not caplog.records


KEY = "a-key-of-at-least-20-letters"


def test_each_user_of_the_api_has_a_key_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_API_KEYS", f"alice:{KEY}, bob : sk:{KEY}")
    settings = Settings.load()
    assert {name: key.get_secret_value() for name, key in settings.api_keys.items()} == {
        "alice": KEY,
        "bob": f"sk:{KEY}",
    }
    assert KEY not in f"{settings!r} {settings} {settings.model_dump()}"


LONG = "hunter2" * 3
BAD_KEYS = [
    "hunter2",
    "alice:",
    f":{LONG}",
    f"alice:{LONG},",
    f"alice:{LONG},bob:{LONG}",
    f"alice:{LONG},alice:{LONG}x",
    f"local:{LONG}",
    f"alice:hunter2 {LONG}",
    f"alice:{LONG}é",
    f"hunter2\x07:{LONG}",
    "alice:hunter2" + "x" * 12,
    f"alice:{'hunter2' * 100}",
    f"{'hunter2' * 100}:{LONG}",
]


@pytest.mark.parametrize("value", BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_bad_keys_are_refused_without_showing_them(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LONGHAUL_API_KEYS", value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    sentence = describe(refused.value)
    assert sentence.startswith("LONGHAUL_API_KEYS cannot be used: ")
    assert "entry" in sentence
    assert "hunter2" not in sentence
    assert "alice" not in sentence


HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"


def test_a_users_file_may_have_comments_and_blank_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"# ours\n\nalice:{HASH}\nada b.:{HASH}\n")
    monkeypatch.setenv("LONGHAUL_USERS_FILE", str(tmp_path / "users"))
    settings = Settings.load()
    assert settings.users_path == tmp_path / "users"
    assert settings.has_login


BAD_LINES = ["alice", "alice:hunter2", f"local:{HASH}", f":{HASH}", f"first:{HASH}", f"alice:{HASH}:x", f"a\x07:{HASH}"]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_of_the_users_file_is_named_by_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    (tmp_path / "users").write_text(f"first:{HASH}\n# second\n{line}\n")
    monkeypatch.setenv("LONGHAUL_USERS_FILE", str(tmp_path / "users"))
    with pytest.raises(ValidationError) as refused:
        Settings()
    sentence = describe(refused.value)
    assert "line 3 " in sentence
    assert "hunter2" not in sentence
    assert HASH not in sentence


DIGEST = "0" * 64
BAD_KEY_LINES = [
    "hunter2",
    f"{DIGEST} never local",
    f"{DIGEST} never first",
    f"{DIGEST} soon alice",
    f"{DIGEST} never",
    f"hunter2 {DIGEST} alice",
    f"{DIGEST} never a\x07",
]


@pytest.mark.parametrize("line", BAD_KEY_LINES)
def test_a_bad_line_of_the_file_of_keys_is_named_by_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    (tmp_path / "keys").write_text(f"{DIGEST} never first\n# second\n{line}\n")
    monkeypatch.setenv("LONGHAUL_API_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(ValidationError) as refused:
        Settings()
    sentence = describe(refused.value)
    assert "line 3 " in sentence
    assert "hunter2" not in sentence
    assert DIGEST not in sentence


def test_a_name_has_one_key_at_most(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{DIGEST} 1900000000 alice\n")
    variables = {"LONGHAUL_API_KEYS": f"alice:{KEY}", "LONGHAUL_API_KEYS_FILE": str(tmp_path / "keys")}
    ended = start(sys.executable, "worker.py", **variables)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert line.startswith("longhaul: LONGHAUL_API_KEYS_FILE cannot be used: 'alice' has a key")
    assert KEY not in line


def test_oauth_is_configured_when_chainlit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainlit.oauth_providers import providers

    assert not Settings.load().has_login
    monkeypatch.setenv("LONGHAUL_OAUTH_ALLOW", "*")
    for provider in providers:
        if provider.id == "azure-ad-hybrid":
            continue  # is refused
        with monkeypatch.context() as variables:
            for name in provider.env:
                assert not Settings().has_oauth
                variables.setenv(name, "x")
            assert provider.is_configured()
            assert Settings.load().has_oauth
            assert Settings.load().has_login
    assert len(providers) == len(OAUTH_VARIABLES)


def refused_oauth(**variables: str) -> str:
    ended = start(sys.executable, "worker.py", **variables)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "hunter2" not in line
    return line


@pytest.mark.parametrize(
    ("provider", "more"),
    [("GITHUB", {}), ("GOOGLE", {}), ("GITLAB", {"DOMAIN": "gitlab.com"}), ("AZURE_AD", {"TENANT_ID": "x"})],
)
def test_where_anybody_has_an_account_the_operator_says_who_may_come_in(provider: str, more: dict[str, str]) -> None:
    variables = {"CLIENT_ID": "x", "CLIENT_SECRET": "hunter2", **more}
    line = refused_oauth(**{f"OAUTH_{provider}_{name}": value for name, value in variables.items()})
    assert line.startswith(f"longhaul: OAUTH_{provider}_CLIENT_ID cannot be used: anyone")
    assert "LONGHAUL_OAUTH_ALLOW" in line


def test_a_directory_of_ones_own_needs_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "GITLAB_CLIENT_ID": "x",
        "GITLAB_CLIENT_SECRET": "x",
        "GITLAB_DOMAIN": "gitlab.example.org",
        "AZURE_AD_CLIENT_ID": "x",
        "AZURE_AD_CLIENT_SECRET": "x",
        "AZURE_AD_TENANT_ID": "x",
        "AZURE_AD_ENABLE_SINGLE_TENANT": "1",
    }
    for name, value in own.items():
        monkeypatch.setenv(f"OAUTH_{name}", value)
    assert Settings.load().public_providers == []


def test_a_provider_that_answers_by_a_post_of_another_site_is_refused() -> None:
    line = refused_oauth(OAUTH_AZURE_AD_HYBRID_CLIENT_ID="x")
    assert line.startswith("longhaul: OAUTH_AZURE_AD_HYBRID_CLIENT_ID cannot be used")


def test_who_may_log_in_by_oauth_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_OAUTH_ALLOW", "ada@example.org, @example.com, a.example, staff, group:a b")
    assert Settings.load().oauth_allow == ("ada@example.org", "@example.com", "a.example", "staff", "group:a b")
    for entry in ("a@b@c", "a b", "@", "https://example.org"):
        monkeypatch.setenv("LONGHAUL_OAUTH_ALLOW", entry)
        with pytest.raises(ValidationError, match="separated by commas; or"):
            Settings()


def test_twenty_characters_make_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_API_KEYS", f"alice:{'x' * 20}")
    assert list(Settings.load().api_keys) == ["alice"]


def test_a_file_of_variables_counts_for_every_entry_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("LONGHAUL_USER_SLOTS=3\nLONGHAUL_WORKER_SLOTS=4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LONGHAUL_WORKER_SLOTS", "5")
    settings = Settings.load()
    assert (settings.user_slots, settings.worker_slots) == (3, 5)


def test_a_login_opens_the_server_to_other_machines_and_a_key_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LONGHAUL_API_KEYS", f"alice:{KEY}")
    assert "LONGHAUL_USERS_FILE or OAUTH_" in refusal(monkeypatch, "0.0.0.0")
    (tmp_path / "users").write_text("")
    monkeypatch.setenv("LONGHAUL_USERS_FILE", str(tmp_path / "users"))
    assert refusal(monkeypatch, "0.0.0.0") == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "0", "127.example.org", "192.0.2.1", "::ffff:192.0.2.1"])
def test_an_address_that_others_can_reach_needs_a_login(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert repr(host) in refusal(monkeypatch, host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_an_address_of_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert refusal(monkeypatch, host) == ""


PUBLIC = ["longhaul.example", "*", "localhost.example.org", "127.1", "0.0.0.0", "192.0.2.1", "[2001:db8::1]"]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_name_for_others_needs_a_login_or_keys_and_keys_open_no_page(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LONGHAUL_ALLOWED_HOSTS", f"localhost,{name}")
    assert f"LONGHAUL_ALLOWED_HOSTS has {name!r}" in refusal(monkeypatch, "127.0.0.1")
    monkeypatch.setenv("LONGHAUL_API_KEYS", f"alice:{KEY}")
    assert refusal(monkeypatch, "127.0.0.1") == ""
    assert refusal(monkeypatch, "0.0.0.0") == ""
    assert Settings.load().api_only
    monkeypatch.setenv("LONGHAUL_ALLOW_ANONYMOUS", "1")
    assert not Settings.load().api_only
    monkeypatch.delenv("LONGHAUL_API_KEYS")
    assert refusal(monkeypatch, "127.0.0.1") == ""


@pytest.mark.parametrize(
    "name", ["LocalHost", "localhost.", "app.localhost", "127.0.0.2", "[::1]", "::1", "[0:0::0:1]"]
)
def test_a_name_of_this_machine_needs_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LONGHAUL_ALLOWED_HOSTS", name)
    assert refusal(monkeypatch, "127.0.0.1") == ""
    monkeypatch.setenv("LONGHAUL_API_KEYS", f"alice:{KEY}")
    assert not Settings.load().api_only


ENTRIES = [("chainlit", "run", "app.py", "-h"), ("uvicorn", "asgi:app")]


@pytest.mark.parametrize("entry", ENTRIES, ids=["laptop", "production"])
def test_neither_entry_serves_strangers_by_a_public_name(entry: tuple[str, ...], tmp_path: Path) -> None:
    ended = start(*entry_of(entry), LONGHAUL_ALLOWED_HOSTS="longhaul.example", LONGHAUL_DATA_DIR=str(tmp_path))
    assert ended.returncode == 2
    assert [line for line in ended.stderr.splitlines() if line.startswith("longhaul: LONGHAUL_ALLOWED_HOSTS has")]
    assert "Traceback" not in ended.stderr


# -- names that Chainlit reads ---------------------------------------------------------------------------------------


def test_the_names_that_chainlit_reads_are_known() -> None:
    from chainlit.config import ChainlitConfig

    assert {name.upper() for name in ChainlitConfig.model_fields} == CHAINLIT_FIELDS | {"CHAINLIT_SERVER"}


@pytest.mark.parametrize("name", ["PROJECT", "Ui"])
def test_a_variable_that_chainlit_would_read_stops_the_start_with_one_line(name: str, tmp_path: Path) -> None:
    ended = start(*entry_of(ENTRIES[1]), **{name: "x"}, LONGHAUL_DATA_DIR=str(tmp_path))
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert ended.stderr.startswith(f"longhaul: The variable {name} cannot be set")


def test_such_variables_do_no_harm_under_chainlit_run(tmp_path: Path) -> None:
    ignored = sorted(CHAINLIT_FIELDS | CHAINLIT_OPTIONS)
    said = f"import os; print([name for name in os.environ if name.upper() in {ignored}])"
    (tmp_path / "app.py").write_text(f"{said}\nimport chainlit as cl\nos._exit(7)\n")
    names = dict.fromkeys([*ignored, "project", "Ui"], "x")
    ended = start(*entry_of(("chainlit", "run", str(tmp_path / "app.py"), "--headless")), **names)
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (7, ["[]"]), ended.stderr


@pytest.mark.parametrize("entry", [("chainlit", "run", "app.py", "--headless"), ("uvicorn", "app:app")])
def test_the_server_does_not_load_the_sdk_of_a_tracing_service(entry: tuple[str, ...], tmp_path: Path) -> None:
    loaded = "import os, sys; print(sorted(name for name in sys.modules if name.startswith('traceloop.sdk.')))"
    (tmp_path / "app.py").write_text(f"import chainlit.server\n{loaded}\nos._exit(7)\n")
    command = [str(tmp_path / part) if part == "app.py" else part for part in entry]
    if "uvicorn" in entry:
        command += ["--app-dir", str(tmp_path)]
    ended = start(*entry_of(tuple(command)))
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (7, ["[]"]), ended.stderr


def test_the_installed_environment_ignores_all_of_chainlits_fields() -> None:
    shipped = (ROOT / "scripts" / "chainlit.pth").read_text()
    assert (Path(sysconfig.get_path("purelib")) / "chainlit.pth").read_text() == shipped, "run ./scripts/install"
    assert set(re.findall(r'"([A-Z_]+)"', shipped)) == CHAINLIT_FIELDS | CHAINLIT_OPTIONS


def test_the_key_that_chainlit_invents_on_build_machines_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    chainlit = importlib.util.find_spec("chainlit")  # importing it would change asyncio for all tests
    assert chainlit is not None
    assert chainlit.origin is not None
    source = (Path(chainlit.origin).parent / "cli" / "__init__.py").read_text()
    assert f'os.environ["OPENAI_API_KEY"] = "{CHAINLIT_FAKE_KEY}"' in source
    monkeypatch.setenv("OPENAI_API_KEY", CHAINLIT_FAKE_KEY)
    assert Settings.load().offline


def entry_of(command: tuple[str, ...]) -> tuple[str, ...]:
    return str(Path(sys.executable).parent / command[0]), *command[1:]


def refusal(monkeypatch: pytest.MonkeyPatch, host: str) -> str:
    """What the start is refused with, when it listens there; empty when it is not."""
    with monkeypatch.context() as refusing:
        refusing.setattr("settings.refuse", refused := Refused())
        require_login(Settings.load(), host)
    return refused.sentence


class Refused:
    """In place of the end of the process."""

    sentence = ""

    def __call__(self, sentence: str) -> None:
        self.sentence = self.sentence or sentence


def test_every_setting_is_in_the_docs_with_its_default_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", page, re.MULTILINE))
    fields = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            assert rows[name] == f"`{field.default:g}`"
