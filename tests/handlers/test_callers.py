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
from handlers.callers import MARK, Logins, _without_token
from handlers.login import oauth_user


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


def test_a_providers_user_comes_while_the_provider_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = Logins(oauth=True)
    assert logins.user(token("google:alice")) is None
    monkeypatch.setenv("OAUTH_GOOGLE_CLIENT_ID", "x")
    monkeypatch.setenv("OAUTH_GOOGLE_CLIENT_SECRET", "x")
    assert logins.user(token("google:alice")) == "google:alice"
    assert [logins.user(token(name)) for name in ("github:alice", "alice", "local")] == [None] * 3
    assert Logins().user(token("google:alice")) is None


@pytest.mark.parametrize(
    ("picture", "kept"),
    [("https://provider.example/ada.png", None), ("data:image/png;base64,AA==", "data:image/png;base64,AA==")],
)
async def test_a_providers_picture_comes_with_its_user_or_not_at_all(picture: str, kept: str | None) -> None:
    default = User(identifier="ada", metadata={"provider": "google", "image": picture})
    user = await oauth_user("google", "token", {}, default)
    assert user is not None
    assert (user.metadata["provider"], user.metadata.get("image")) == ("google", kept)


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
