"""The documentation cannot lie: what it names exists, what exists it names, and its example runs."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from pathlib import Path

import pytest

from jobs.events import KnownPayload, StepPayload
from scripts.terminal.server import VARIABLES as COMMAND_LINE
from settings import Settings
from tests.toolkit.recording import RecordingHandler
from toolkit.handler import CallContext
from toolkit.pool import HostPool
from toolkit.registry import load_tools

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
PACKAGES = (
    "jobs",
    "toolkit",
    "language",
    "tools",
    "agents",
    "models",
    "files",
    "accounts",
    "services",
    "handlers",
    "api",
)
OURS = (*PACKAGES, "docs", "samples", "scripts", "tests", "public", ".chainlit", ".ci", "benchmarks", "deploy")
"""A path in the text that begins with one of these, or that has one of `OUR_SUFFIXES` and no folder, is ours."""
OUR_SUFFIXES = (".py", ".md", ".toml")

EXAMPLE = re.search(r"Save this as `(tools/(\w+)\.py)`.*?```python\n(.*?)```", README, re.DOTALL)
assert EXAMPLE, "the README has no example of a tool"
EXAMPLE_PATH, EXAMPLE_TOOL, EXAMPLE_CODE = EXAMPLE.groups()

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_ours(path: str) -> bool:
    return path.partition("/")[0] in OURS if "/" in path else path.endswith(OUR_SUFFIXES)


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), f"{page.name} links to {target!r}, which is not there"
        if fragment:
            assert fragment in anchors(file), f"{page.name} links to {target!r}; {file.name} has no such heading"


@each_page
def test_every_path_of_ours_in_the_text_exists(page: Path) -> None:
    named = re.findall(r"`(?:\./)?([\w.-]+(?:/[\w.-]+)*/?)`", without_code(page.read_text()))
    missing = [path for path in named if is_ours(path) and path != EXAMPLE_PATH and not (ROOT / path).exists()]
    assert not missing, f"{page.name} names {missing}"


@each_page
def test_commands_exist_and_can_be_executed(page: Path) -> None:
    for command in set(re.findall(r"(?<![\w.])\./([\w./-]+\w)", page.read_text())):
        assert os.access(ROOT / command, os.X_OK), f"{page.name} names ./{command}, which cannot be executed"


def test_every_promise_of_security_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert named
    for file, test in named:
        assert re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"


def test_the_readme_names_the_two_commands() -> None:
    first_screen = README[: README.index("## ")]
    assert "./scripts/run" in first_screen
    assert "./scripts/test" in first_screen


def test_every_event_type_is_in_the_docs_with_its_fields_and_no_other_is() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    rows = re.findall(r"^\| `([a-z]+(?:\.[a-z]+)?)` \| ([^|]+) \|", page.partition("\n## ")[0], re.MULTILINE)
    documented = {kind: re.findall(r"`(\w+)`(\??)", fields) for kind, fields in rows}
    common = {field.name for field in dataclasses.fields(StepPayload)}
    declared = {
        payload.type: [
            (field.name, "?" if field.name in payload.optional else "")
            for field in dataclasses.fields(payload)
            if field.name not in common
        ]
        for payload in KnownPayload.__args__
    }
    assert all(f"may also have `{name}`" in page for name in common)
    assert documented == declared


def test_the_layout_names_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"## Layout\n+```\n(.*?)```", page, re.DOTALL)
    assert block
    named = [line.split()[0] for line in block[1].splitlines() if line.strip()]
    modules = [module for package in PACKAGES for module in (ROOT / package).rglob("*.py")]
    files = {module.relative_to(ROOT).as_posix() for module in modules if module.parent.name != "versions"}
    folders = {f"{Path(file).parent.as_posix()}/" for file in files} | {"handlers/chat_store/versions/"}
    existing = {file for file in files if not file.endswith("/__init__.py")} | folders
    existing |= {entry.name for entry in ROOT.glob("*.py")}
    assert set(named) == existing, f"missing: {existing - set(named)}; not there: {set(named) - existing}"
    assert len(named) == len(set(named))


def test_the_places_where_changes_are_made_are_there() -> None:
    table = (
        (ROOT / "docs" / "architecture.md").read_text().partition("## Where a change is made")[2].partition("\n## ")[0]
    )
    places = re.findall(r"`([\w./-]+/[\w./-]*|settings\.py)`(?: \(`(\w+)`\))?", table)
    assert len(places) > 20
    missing = [f"{file} {name}" for file, name in places if name not in _text_of(ROOT / file)]
    assert not missing


def _text_of(path: Path) -> str:
    """Fails when there is no such file or folder."""
    return "" if path.is_dir() else path.read_text()


def test_every_setting_is_documented_with_its_default_and_its_bounds() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = {row[0]: row for row in re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", page, re.MULTILINE)}
    for field in Settings.model_fields.values():
        name, default, meaning = rows[str(field.validation_alias)]
        assert default == shown(field.default), name
        bounds = {
            kind: getattr(one, kind) for one in field.metadata for kind in ("ge", "gt", "le") if hasattr(one, kind)
        }
        if bounds:
            lowest = f"{bounds['ge']:.15g}" if "ge" in bounds else f"above {bounds['gt']:.15g}"
            assert f"{lowest} to {bounds['le']:.15g}" in meaning, name


def shown(default: object) -> str:
    """A default as the page shows it: what one would write into the variable."""
    if default in (None, "", (), {}):
        return "unset"
    if isinstance(default, (bool, int, float)):
        return f"`{default:g}`"
    return f"`{','.join(map(str, default)) if isinstance(default, tuple) else default}`"


def test_every_variable_in_the_text_is_a_setting() -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()} | {*COMMAND_LINE}
    for page in PAGES:
        named = set(re.findall(r"\b(?:LONGHAUL|OPENAI)_[A-Z_]*[A-Z]\b", page.read_text()))
        assert named <= known, f"{page.name} names {sorted(named - known)}"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A directory with the README's tool in it."""
    directory = tmp_path / "tools"
    directory.mkdir()
    (directory / f"{EXAMPLE_TOOL}.py").write_text(EXAMPLE_CODE)
    return directory


def test_the_tool_of_the_readme_loads_without_a_complaint(example: Path) -> None:
    registry = load_tools([example])
    assert registry.problems == ()
    assert list(registry.tools) == [EXAMPLE_TOOL]


async def test_the_tool_of_the_readme_is_in_the_catalogue_and_runs(example: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a word or two, counted")
    handler = RecordingHandler(tmp_path)
    async with HostPool([example], spare_hosts=0) as pool:
        [offered] = pool.catalogue
        assert offered.name == EXAMPLE_TOOL
        assert offered.description.startswith("Count the words")
        context = CallContext(thread_id=None, user="local", idempotency_key="job/call:0")
        assert await pool.call(EXAMPLE_TOOL, {"files": ["a.txt"], "least": 3}, context, handler) == {"a.txt": 3}
    assert handler.finished == {"part:0": 3}


def test_the_newest_version_of_the_changelog_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == project["version"]


def test_pictures_stay_small() -> None:
    for picture in [*(ROOT / "docs").glob("*.png"), *(ROOT / "docs").glob("*.svg")]:
        assert picture.stat().st_size <= 200_000, f"{picture.name} is too large for a README"
