"""Virtual environments of their own, for programs whose requirements do not fit ours: `.venv-NAME` in the project."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server import ROOT

RUN_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Environment:
    folder: Path
    requirements: Path
    """What is installed, as pip reads it."""

    @classmethod
    def named(cls, name: str, requirements: Path) -> Environment:
        return cls(folder=ROOT / f".venv-{name}", requirements=requirements)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_made(self) -> bool:
        installed = self.folder / "installed"
        return installed.is_file() and installed.read_text(encoding="utf-8") == self._wanted

    @property
    def _wanted(self) -> str:
        return self.requirements.read_text(encoding="utf-8")

    def make(self) -> None:
        """Quick when it is there. Raises `OSError` or `CalledProcessError`. Of several callers, one installs."""
        with self.requirements.open(encoding="utf-8") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if self.is_made:
                return
            self._install()
            (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
            (self.folder / "installed").write_text(self._wanted, encoding="utf-8")

    async def printed_by(self, program: Path, *arguments: str) -> Any:
        """Returns the JSON that the Python program prints; what it says besides counts only if it fails."""
        command = (str(self.python), "-I", str(program), *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(RUN_SECONDS):
            out, err = await process.communicate()
        assert process.returncode == 0, f"{program.name} failed: {err.decode()[-2000:]}"
        return json.loads(out)

    def _install(self) -> None:
        """By uv, which `scripts/install` puts beside Python, or else by pip."""
        uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
        installing = ["install", "-r", str(self.requirements)]
        if uv is not None:
            with suppress(OSError, subprocess.CalledProcessError):
                _run([uv, "venv", "--clear", "--python", sys.executable, str(self.folder)])
                _run([uv, "pip", *installing, "--python", str(self.python)])
                return
        make = [sys.executable, "-m", "venv", "--clear", str(self.folder)]
        outside = [str(Path(sys.base_prefix, "bin", "python3")), "-m", "pip"]
        if subprocess.run([*outside, "--version"], capture_output=True).returncode == 0:
            _run([*make, "--without-pip"])  # Debian's venv has none to put inside
            _run([*outside, "--python", str(self.python), *installing])
        else:
            _run(make)
            _run([str(self.python), "-m", "pip", *installing])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
