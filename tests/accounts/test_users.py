"""The users file."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from accounts import UsersFile

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@cache
def line(name: str, password: str) -> str:
    return f"{name}:{QUICK.hash(password)}"


def users_file(folder: Path, *lines: str) -> UsersFile:
    path = folder / "users"
    path.write_text("\n".join(lines))
    return UsersFile(path)


async def test_name_and_password_must_belong_together(tmp_path: Path) -> None:
    users = users_file(tmp_path, "# our people", "", line("alice", "wonderland"), line("Böb B.", "pässword"))
    assert await users.verify("alice", "wonderland")
    assert await users.verify("Böb B.", "pässword")
    assert not await users.verify("alice", "pässword")
    assert not await users.verify("Alice", "wonderland")
    assert not await users.verify("nobody", "wonderland")


@pytest.mark.parametrize("name", ["", "local", "# our people", "alice:x", "\ud800", "x" * 101, "alice\0", " alice"])
async def test_what_is_no_name_is_nobody(tmp_path: Path, name: str) -> None:
    users = users_file(tmp_path, "# our people", line("alice", "wonderland"), line("local", "wonderland"))
    assert not await users.verify(name, "wonderland")


@pytest.mark.parametrize("password", ["", "x" * 1001, "\ud800", "\0"])
async def test_no_password_is_too_odd_to_be_wrong(tmp_path: Path, password: str) -> None:
    assert not await users_file(tmp_path, line("alice", "wonderland")).verify("alice", password)


async def test_a_change_of_the_file_counts_at_once(tmp_path: Path) -> None:
    users = users_file(tmp_path, line("alice", "wonderland"))
    assert await users.verify("alice", "wonderland")
    before = users.mark("alice")
    users_file(tmp_path, line("alice", "looking glass"), line("bob", "builder!"))
    assert not await users.verify("alice", "wonderland")
    assert await users.verify("bob", "builder!")
    assert users.mark("alice") not in {None, before}
    users_file(tmp_path, line("bob", "builder!"))
    assert users.mark("alice") is None


async def test_a_file_that_is_gone_or_broken_lets_nobody_in(tmp_path: Path) -> None:
    users = users_file(tmp_path, line("alice", "wonderland"))
    assert await users.verify("alice", "wonderland")
    (tmp_path / "users").write_bytes(b"alice:\xff\xfe")
    assert not await users.verify("alice", "wonderland")
    users_file(tmp_path, "alice", "alice:wonderland", "alice:$argon2id$no", line("bob", "builder!"))
    assert not await users.verify("alice", "wonderland")
    assert await users.verify("bob", "builder!")
    (tmp_path / "users").unlink()
    assert not await users.verify("bob", "builder!")


async def test_many_at_once_neither_block_the_loop_nor_mix_up(tmp_path: Path) -> None:
    users = users_file(tmp_path, line("alice", "wonderland"), line("bob", "builder!"))
    tries = [("alice", "wonderland"), ("alice", "builder!"), ("bob", "builder!"), ("bob", "wonderland")] * 5
    answers = await asyncio.gather(*(users.verify(*one) for one in tries))
    assert answers == [True, False, True, False] * 5
