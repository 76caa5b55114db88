"""The peer of background responses: azure-ai-agentserver-responses, which can go on with them after its death."""

from __future__ import annotations

from pathlib import Path

from benchmarks.apps import App
from tests.environments import Environment

ENVIRONMENT = Environment.named("azure-agentserver", Path(__file__).with_name("azure-agentserver.txt"))


class AzureAgentServer(App):
    """Its server with `resilient_background`, and a handler that passes on what the model streams."""

    name = "azure-ai-agentserver"
    page = "/readiness"

    def command(self) -> list[str]:
        program = str(Path(__file__).with_name("azure_agentserver_app.py"))
        return [str(ENVIRONMENT.python), program, str(self.port)]
