"""`scripts/new-agent` in a copy of the tree: what it makes is right as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = (".*", "__pycache__", "docs", "public", "samples")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copies") / "tree"
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(*NOT_COPIED))
    return place


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tree), "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_what_it_makes_passes_its_test_lint_and_types(tree: Path) -> None:
    made = run(tree, "scripts/new-agent", "greet_people")
    assert made.returncode == 0, made.stderr
    files = ["agents/greet_people.py", "tests/agents/test_greet_people.py"]
    assert made.stdout.startswith(f"Wrote {files[0]} and {files[1]}.")
    tested = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", files[1])
    assert "2 passed" in tested.stdout, tested.stdout + tested.stderr
    for check in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        checked = run(tree, "-m", *check, *files)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("assistant", "There is already agents/assistant.py: choose another name than 'assistant'."),
        ("summarize_documents", "There is already tools/summarize_documents.py: choose another name"),
        (
            "../escape",
            "'../escape' cannot be an agent's name: use up to 50 small letters, digits",
        ),
        ("filter", "'filter' already means something else: choose another name."),
        ("agent", "'agent' already means something else"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_in_one_line(tree: Path, name: str, sentence: str) -> None:
    before = sorted(tree.rglob("*.py"))
    refused = run(tree, "scripts/new-agent", name)
    assert refused.returncode == 2
    assert refused.stderr.startswith(sentence)
    assert refused.stderr.count("\n") == 1
    assert sorted(tree.rglob("*.py")) == before


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["--help"]])
def test_without_a_name_it_says_how_it_is_used(tree: Path, arguments: list[str]) -> None:
    refused = run(tree, "scripts/new-agent", *arguments)
    assert refused.returncode == 2
    assert refused.stderr == "Usage: ./scripts/new-agent NAME, for example ./scripts/new-agent helper\n"
