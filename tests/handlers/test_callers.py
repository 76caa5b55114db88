"""Whose token it is, and whether that user may come in."""

from __future__ import annotations

import time
from functools import partial
from operator import add
from pathlib import Path

import pytest
from chainlit.auth import create_jwt
from chainlit.user import User

from accounts import UsersFile
from handlers.callers import ALLOWED_BY, MARK, Logins, _without_token
from handlers.oauth import entry_digest


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINLIT_AUTH_SECRET", "s" * 48)


def token(name: str, **metadata: str) -> str:
    return str(create_jwt(User(identifier=name, metadata=metadata)))


def test_without_a_login_there_is_nobody_but_local() -> None:
    logins = Logins()
    assert logins.user(token("local")) == "local"
    assert [logins.user(token(name)) for name in ("alice", "google:alice", "")] == [None] * 3
    assert [logins.user(odd) for odd in (None, "", "x", "a.b.c")] == [None] * 4


def test_a_user_of_the_file_comes_with_the_mark_of_the_password(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("alice:$argon2id$one\n")
    users = UsersFile(tmp_path / "users")
    logins, mark = Logins(users=users), str(users.mark("alice"))
    assert logins.user(token("alice", **{MARK: mark})) == "alice"
    assert logins.user(token("alice")) is None
    assert logins.user(token("bob", **{MARK: mark})) is None
    assert logins.user(token("local", **{MARK: mark})) is None
    (tmp_path / "users").write_text("alice:$argon2id$another\n")
    assert logins.user(token("alice", **{MARK: mark})) is None


def test_a_login_lasts_as_long_as_the_present_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    made = token("local")
    assert Logins(session_days=1).user(made) == "local"
    monkeypatch.setattr(time, "time", partial(add, time.time(), 86_401))
    assert Logins(session_days=15).user(made) == "local"
    assert Logins(session_days=1).user(made) is None


def test_a_providers_user_comes_while_provider_and_entry_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = Logins(oauth=True, oauth_entries=frozenset({entry_digest("@example.org")}))
    by_entry = {ALLOWED_BY: entry_digest("@example.org")}
    assert logins.user(token("google:7", **by_entry)) is None
    monkeypatch.setenv("OAUTH_GOOGLE_CLIENT_ID", "x")
    monkeypatch.setenv("OAUTH_GOOGLE_CLIENT_SECRET", "x")
    assert logins.user(token("google:7", **by_entry)) == "google:7"
    assert logins.user(token("google:7", **{ALLOWED_BY: entry_digest("staff")})) is None
    assert logins.user(token("google:alice@example.org")) is None, "a login of an earlier version"
    assert [logins.user(token(name, **by_entry)) for name in ("github:7", "alice", "local")] == [None] * 3
    assert Logins().user(token("google:7", **by_entry)) is None


@pytest.mark.parametrize(
    ("header", "left"),
    [
        (b"access_token=a", b""),
        (b"a=1; access_token=x.y.z; oauth_state=s", b"a=1; oauth_state=s"),
        (b"access_token_0=a; access_token_1=b; c=2", b" c=2"),
        (b'access_token="a";;=; c', b";=; c"),
        (b"token=access_token", b"token=access_token"),
    ],
)
def test_only_the_token_is_taken_off(header: bytes, left: bytes) -> None:
    assert _without_token(header) == left
