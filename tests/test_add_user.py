"""`scripts/add-user`: what it writes lets the user in, and what it cannot do it says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from accounts import UsersFile

ROOT = Path(__file__).resolve().parent.parent


def add(name: str, password: str, file: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/add-user", name, *(["--file", str(file)] if file else [])]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_whoever_is_added_can_log_in_and_gets_a_new_password_the_second_time(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# ours\n")
    for name, password in [("alice", "wonderland"), ("bob", "the builder"), ("alice", "looking glass")]:
        done = await asyncio.to_thread(add, name, password, LONGHAUL_USERS_FILE=str(file))
        assert (done.returncode, done.stderr) == (0, "")
        assert password not in done.stdout
    users = UsersFile(file)
    assert await users.verify("alice", "looking glass")
    assert await users.verify("bob", "the builder")
    assert not await users.verify("alice", "wonderland")
    assert [line.partition(":")[0] for line in file.read_text().splitlines()] == ["# ours", "alice", "bob"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["users"]


def test_what_it_cannot_do_it_says_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "users"
    for done, words in [
        (add("alice", "short", file), "A password has 8"),
        (add("local", "wonderland", file), "'local' cannot be a user's name"),
        (add("a:b", "wonderland", file), "'a:b' cannot be a user's name"),
        (add("alice", "wonderland"), "set LONGHAUL_USERS_FILE"),
        (add("alice", "wonderland", tmp_path / "none" / "users"), "No such file or directory"),
    ]:
        assert done.returncode in {1, 2}
        (sentence,) = done.stderr.splitlines()
        assert words in sentence
        assert "wonderland" not in sentence
    assert not file.exists()
