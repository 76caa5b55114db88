"""scripts/install and a person's own packages, in a small checkout whose packages are wheels beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"version = {version!r}\n")
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", WHEEL)
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        wheel(wheels, "pinned", version)
    wheel(wheels, "extra", "1.0", needs="pinned")
    wheel(wheels, "greedy", "1.0", needs="pinned>=2")
    folder = tmp_path / "a checkout"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "install", folder / "scripts")
    for name in ("chainlit.pth", "fetch-component"):
        (folder / "scripts" / name).touch()
    (folder / "requirements.txt").write_text(f"--no-index\n--find-links {wheels}\npinned==1.0\n")
    return folder


def install(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"/usr/bin:/bin:{os.environ['PATH']}", "HOME": str(checkout), "PIP_NO_INDEX": "1"}
    environment["PIP_FIND_LINKS"] = str(checkout.parent / "wheels")
    return subprocess.run(
        [str(checkout / "scripts" / "install")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def version(checkout: Path, name: str) -> str:
    command = [str(checkout / ".venv" / "bin" / "python"), "-c", f"import {name}; print({name}.version)"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return asked.stdout.strip() or "missing"


def test_own_packages_are_installed_and_kept_when_the_environment_is_made_anew(checkout: Path) -> None:
    (checkout.parent / "own.txt").write_text("extra\n")
    (checkout / "requirements-tools.txt").write_text("-r ../own.txt\n")
    first = install(checkout)
    assert first.returncode == 0, first.stderr
    assert (version(checkout, "extra"), version(checkout, "pinned")) == ("1.0", "1.0")
    shutil.rmtree(checkout / ".venv")
    assert install(checkout).returncode == 0
    assert version(checkout, "extra") == "1.0"


def test_a_package_added_later_is_installed_by_the_next_start(checkout: Path) -> None:
    own = checkout.parent / "own.txt"
    own.write_text("")
    (checkout / "requirements-tools.txt").write_text("-r ../own.txt\n")
    assert install(checkout).returncode == 0
    assert version(checkout, "extra") == "missing"
    own.write_text("extra\n")
    assert install(checkout).returncode == 0
    assert version(checkout, "extra") == "1.0"


def test_own_packages_cannot_change_a_pinned_version(checkout: Path) -> None:
    (checkout / "requirements-tools.txt").write_text("greedy\n")
    refused = install(checkout)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("requirements-tools.txt could not be installed")
    assert (version(checkout, "pinned"), version(checkout, "greedy")) == ("1.0", "missing")
