"""Settings: every variable, its default, and what happens to a value that cannot be used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import OAUTH_VARIABLES, OPENAI_MODEL, Settings, describe, require_loopback

ROOT = Path(__file__).parent.parent


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("LONGHAUL_", "OPENAI_", "OAUTH_"))
    }
    return subprocess.run(
        command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_an_endpoint_the_offline_model_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().model_name == "offline"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    assert Settings.load().model_name == OPENAI_MODEL
    monkeypatch.setenv("LONGHAUL_MODEL", "llama")
    assert Settings.load().model_name == "llama"


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_TOOL_DIRS", os.pathsep.join(["tools", "more"]))
    monkeypatch.setenv("LONGHAUL_ALLOWED_HOSTS", "a.example, b.example")
    settings = Settings.load()
    assert settings.tool_dirs == (Path("tools"), Path("more"))
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
    ("LONGHAUL_USERS_FILE", "users.txt"),
    ("LONGHAUL_SSE_PING_SECONDS", "0"),
    ("LONGHAUL_API_REQUESTS_PER_MINUTE", "0.5"),
    ("LONGHAUL_API_KEYS", "hunter2"),
    ("OAUTH_GOOGLE_CLIENT_ID", "hunter2"),
    ("LONGHAUL_FRAME_ANCESTORS", "everybody"),
    ("LONGHAUL_FILES_URL", "s3://bucket"),
    ("OPENAI_BASE_URL", "localhost:11434"),
    ("DATABASE_URL", "postgresql://user:hunter2@db/x"),
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


def test_each_user_of_the_api_has_a_key_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGHAUL_API_KEYS", "alice:sk-test, bob : sk:other")
    settings = Settings.load()
    assert {name: key.get_secret_value() for name, key in settings.api_keys.items()} == {
        "alice": "sk-test",
        "bob": "sk:other",
    }
    assert "sk-" not in f"{settings!r} {settings} {settings.model_dump()}"


BAD_KEYS = [
    "hunter2",
    "alice:",
    ":hunter2",
    "alice:hunter2,",
    "alice:hunter2,bob:hunter2",
    "alice:hunter2,alice:x",
    "local:hunter2",
    "alice:hunter 2",
    "alice:hunter2é",
    "hunter2\x07:x",
    f"alice:{'hunter2' * 100}",
    f"{'hunter2' * 100}:x",
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


def test_oauth_is_configured_when_chainlit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainlit.oauth_providers import providers

    assert not Settings.load().has_login
    for provider in providers:
        with monkeypatch.context() as variables:
            for name in provider.env:
                assert not Settings().has_oauth
                variables.setenv(name, "x")
            assert provider.is_configured()
            assert Settings.load().has_oauth
            assert Settings.load().has_login
    assert len(providers) == len(OAUTH_VARIABLES)


def test_a_login_opens_the_server_to_other_machines_and_a_key_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LONGHAUL_API_KEYS", "alice:sk-test")
    with monkeypatch.context() as refusing:
        refusing.setattr("settings.refuse", refused := Refused())
        require_loopback(Settings.load(), "0.0.0.0")
        assert "LONGHAUL_USERS_FILE or OAUTH_" in refused.sentence
    (tmp_path / "users").write_text("")
    monkeypatch.setenv("LONGHAUL_USERS_FILE", str(tmp_path / "users"))
    require_loopback(Settings.load(), "0.0.0.0")


class Refused:
    """In place of the end of the process."""

    sentence = ""

    def __call__(self, sentence: str) -> None:
        self.sentence = sentence


def test_every_setting_is_in_the_docs_with_its_default_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", page, re.MULTILINE))
    fields = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            assert rows[name] == f"`{field.default:g}`"
