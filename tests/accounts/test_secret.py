"""The secret that signs cookies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from accounts import auth_secret


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = auth_secret(tmp_path / "data")
    assert len(first) >= 43
    assert auth_secret(tmp_path / "data") == first
    (file,) = (tmp_path / "data").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


SPOILT = pytest.mark.parametrize("spoilt", [b"", b"\n", b"\0" * 64, b"cut-off", b"\xff" * 64], ids=repr)


@SPOILT
def test_a_spoilt_one_is_made_anew_and_the_log_says_so(
    tmp_path: Path, spoilt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "auth_secret"
    file.write_bytes(spoilt)
    secret = auth_secret(tmp_path)
    assert len(secret) >= 43
    assert file.read_text() == secret
    assert file.stat().st_mode & 0o777 == 0o600
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "all users must log in again" in record.getMessage()
    assert auth_secret(tmp_path) == secret
    assert len(caplog.records) == 1


@pytest.mark.parametrize("begin", [None, b""], ids=["without one", "with an empty one"])
def test_starts_at_the_same_time_agree_on_one(tmp_path: Path, begin: bytes | None) -> None:
    if begin is not None:
        (tmp_path / "auth_secret").write_bytes(begin)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: auth_secret(tmp_path), range(8)))) == 1
