"""Whose API key it is."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from accounts import ApiKeys

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
