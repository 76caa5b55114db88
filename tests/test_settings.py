"""Settings: every variable, its default, and what happens to a value that cannot be used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from settings import OPENAI_MODEL, Settings

ROOT = Path(__file__).parent.parent


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LONGHAUL_", "OPENAI_"))}
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


def test_every_setting_is_in_the_docs_with_its_default_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", page, re.MULTILINE))
    fields = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            assert rows[name] == f"`{field.default:g}`"
