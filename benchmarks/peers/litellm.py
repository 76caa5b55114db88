"""The peer of the API: LiteLLM's proxy, in front of the same endpoint, in an environment of its own."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from benchmarks.apps import App
from tests.environments import Environment

ENVIRONMENT = Environment.named("litellm", Path(__file__).with_name("litellm.txt"))


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
