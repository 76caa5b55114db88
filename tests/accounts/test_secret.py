"""The secret that signs cookies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accounts import auth_secret


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = auth_secret(tmp_path / "data")
    assert len(first) >= 43
    assert auth_secret(tmp_path / "data") == first
    (file,) = (tmp_path / "data").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_starts_at_the_same_time_agree_on_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: auth_secret(tmp_path), range(8)))) == 1
