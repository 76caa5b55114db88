"""Installs a peer into its own environment."""

from __future__ import annotations

import subprocess
import sys

from tests.environments import Environment


def install(environment: Environment) -> None:
    """Quick when it is there. Ends the command with one line when it cannot be done."""
    if environment.is_made:
        return
    wanted = ", ".join(environment.requirements.read_text(encoding="utf-8").split())
    print(f"install {wanted}", file=sys.stderr, flush=True)
    try:
        environment.make()
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace").strip()
        raise SystemExit(f"{wanted} could not be installed: {said.splitlines()[-1]}") from None
