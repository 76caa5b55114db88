"""Fixtures for pytest: `pytest_plugins = ["toolkit.testing.fixtures"]` in the conftest.py at the top of your tests."""

from functools import partial
from pathlib import Path

import pytest

from toolkit import testing


@pytest.fixture
def run_tool(tmp_path: Path) -> testing.Runner:
    """`testing.run`, whose files and storage are in `tmp_path`, where a test can look at them."""
    return partial(testing.run, directory=tmp_path)


@pytest.fixture
def crash_everywhere() -> testing.Crasher:
    """`testing.crash_everywhere`, for tests that name what they use."""
    return testing.crash_everywhere
