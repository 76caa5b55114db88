"""The start is refused when somebody registers handlers with Chainlit beside Longhaul's. The servers are real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = """
import chainlit as cl


{decorator}
async def mine({parameter}):
    pass
"""
BIN = Path(sys.executable).parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose entries may be changed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in {"app.py", "asgi.py", ".data", ".files"}:
            (folder / path.name).symlink_to(path)
    for entry in ("app.py", "asgi.py"):
        (folder / entry).write_text((ROOT / entry).read_text())
    return folder


def refusal(checkout: Path, *command: str) -> str:
    """The line that the start ends with."""
    program, *options = command
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(checkout.parent),
        "LONGHAUL_DATA_DIR": str(checkout.parent / "data"),
    }
    ended = subprocess.run(
        [str(BIN / program), *options],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False), ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("longhaul: ")]
    return line.removeprefix("longhaul: ")


def append(path: Path, decorator: str, parameter: str = "") -> int:
    """Returns the number of the decorator's line."""
    text = path.read_text() + CODE.format(decorator=decorator, parameter=parameter)
    path.write_text(text)
    return text.splitlines().index(decorator) + 1


PORT = ("--port", "0")
AGENT = "Move its code to an agent in agents/; docs/porting.md shows how."
LOGIN = "Settings control who may log in: docs/accounts.md."


@pytest.mark.parametrize(
    ("kind", "decorator", "parameter", "advice"),
    [
        ("on_message", "@cl.on_message", "message", AGENT),
        ("on_app_startup", "@cl.on_app_startup", "", AGENT),
        ("action_callback('go')", '@cl.action_callback("go")', "action", AGENT),
        ("password_auth_callback", "@cl.password_auth_callback", "name, password", LOGIN),
    ],
)
def test_a_handler_in_app_py_ends_the_start_with_its_name_file_and_line(
    checkout: Path, kind: str, decorator: str, parameter: str, advice: str
) -> None:
    line = append(checkout / "app.py", decorator, parameter)
    said = refusal(checkout, "chainlit", "run", "app.py", "-h", *PORT)
    assert said == f"app.py:{line} registers mine as Chainlit's {kind}, beside Longhaul's. {advice}"


def test_a_handler_of_a_module_that_app_py_imports_first_is_not_silently_replaced(checkout: Path) -> None:
    module = checkout / "bot.py"
    module.write_text("")
    line = append(module, "@cl.on_message", "message")
    app = checkout / "app.py"
    app.write_text(app.read_text().replace("import starting\n", "import bot\nimport starting\n"))
    assert refusal(checkout, "chainlit", "run", "app.py", "-h", *PORT).startswith(f"bot.py:{line} registers mine ")


def test_the_production_entry_refuses_them_too(checkout: Path) -> None:
    line = append(checkout / "asgi.py", "@cl.set_chat_profiles", "user")
    said = refusal(checkout, "uvicorn", "asgi:app", *PORT)
    assert said.startswith(f"asgi.py:{line} registers mine as Chainlit's set_chat_profiles")
