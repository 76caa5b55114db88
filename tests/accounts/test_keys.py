"""Whose API key it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from accounts import ApiKeys, KeysFile
from accounts.keys import LOOK_SECONDS, digest_of

KEYS = {"alice": SecretStr("sk-alice"), "bob": SecretStr("sk-bob")}


def test_each_key_is_its_users() -> None:
    keys = ApiKeys(KEYS)
    assert (keys.user_of("sk-alice"), keys.user_of("sk-bob")) == ("alice", "bob")


@pytest.mark.parametrize("key", ["", "sk-alic", "sk-alice ", "sk-aliceé", "\ud800", "\0", "x" * 1_000_000, "alice"])
def test_anything_else_is_nobodys(key: str) -> None:
    assert ApiKeys(KEYS).user_of(key) is None


def test_without_keys_there_is_nobody() -> None:
    keys = ApiKeys({})
    assert not keys
    assert keys.user_of("") is None
    assert ApiKeys(KEYS)


def test_no_key_is_kept() -> None:
    assert "sk-alice" not in repr(vars(ApiKeys(KEYS)))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_adds_keys_and_is_looked_at_once_a_second(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "keys"
    path.write_text(f"# ours\n{digest_of('sk-eve')} never eve\n{digest_of('sk-old')} 1000 old\n")
    keys = ApiKeys(KEYS, KeysFile(path, clock=clock))
    assert [keys.user_of(key) for key in ("sk-alice", "sk-eve", "sk-old", "")] == ["alice", "eve", None, None]
    path.write_text(f"{digest_of('sk-new')} never ada l.\n{digest_of('sk-more')} never alice\n")
    assert keys.user_of("sk-eve") == "eve"
    clock.now += LOOK_SECONDS
    assert [keys.user_of(key) for key in ("sk-new", "sk-eve")] == ["ada l.", None]
    assert keys.user_of("sk-more") is None, "a fixed name has no second key"


def test_a_file_that_becomes_unusable_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, path = Clock(), tmp_path / "keys"
    path.write_text(f"{digest_of('sk-eve')} never eve\n")
    keys = ApiKeys({}, KeysFile(path, clock=clock))
    for content in (b"hunter2", b"\xff", None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        clock.now += LOOK_SECONDS
        assert keys.user_of("sk-eve") == "eve"
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert "hunter2" not in caplog.text


def test_an_empty_file_demands_keys_too(tmp_path: Path) -> None:
    (tmp_path / "keys").touch()
    keys = ApiKeys({}, KeysFile(tmp_path / "keys"))
    assert keys
    assert keys.user_of("") is None
