"""The peer of the API: LiteLLM's proxy, in front of the same endpoint, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from benchmarks.apps import App
from tests.environments import Environment

ENVIRONMENT = Environment.named("litellm", Path(__file__).with_name("requirements.txt"))


def install(environment: Environment = ENVIRONMENT) -> None:
    """Quick when it is there. Ends the command with one line when it cannot be done."""
    if environment.is_made:
        return
    wanted = environment.requirements.read_text(encoding="utf-8").strip()
    print(f"install {wanted}", file=sys.stderr, flush=True)
    try:
        environment.make()
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace").strip()
        raise SystemExit(f"LiteLLM could not be installed: {said.splitlines()[-1]}") from None


class LiteLLM(App):
    """`litellm --config …`, one process as by default; without keys, as a fresh Longhaul is."""

    name = "LiteLLM"

    def prepare(self) -> None:
        super().prepare()
        upstream = {
            "model": "openai/bench-model",
            "api_base": self._environment["OPENAI_BASE_URL"],
            "api_key": self._environment["OPENAI_API_KEY"],
        }
        config = {
            "model_list": [{"model_name": "bench-model", "litellm_params": upstream}],
            "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        }
        self._environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches prices at its start
        self._config.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML

    async def ready(self, http: httpx.AsyncClient) -> bool:
        return (await http.get("/health/liveliness")).status_code == 200

    @property
    def _config(self) -> Path:
        return self.folder / "config.yaml"

    def command(self) -> list[str]:
        program = str(ENVIRONMENT.folder / "bin" / "litellm")
        return [program, "--config", str(self._config), "--host", "127.0.0.1", "--port", str(self.port)]
