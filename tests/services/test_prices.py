"""The operator's file of prices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.prices import Price, Prices, read_prices

ROOT = Path(__file__).parents[2]


def test_prices_are_for_a_million_tokens_and_only_of_named_models(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"large": {"input": 1.25, "output": 10}}')
    prices = read_prices(file)
    assert prices == Prices({"large": Price(input=1.25, output=10)})
    assert [prices.cost("large", 1_000_000, 500_000), prices.cost("small", 1, 1)] == [6.25, None]
    assert read_prices(None).cost("large", 1, 1) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ("[]", "Input should be a valid dictionary"),
        ('{"large": {"input": 1}}', "large.output: Field required"),
        ('{"large": {"input": -1, "output": 1}}', "large.input: Input should be greater than or equal to 0"),
    ],
)
def test_an_unusable_file_ends_the_start_with_one_line(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_text(content)
    program = f"import pathlib, services.prices as p; p.read_prices(pathlib.Path({str(file)!r}))"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("longhaul: LONGHAUL_PRICES cannot be used: ")
    assert reason in line
