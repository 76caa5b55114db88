"""Agents on the page: the mode that chooses one beside Send, the panel of their settings, and their starters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handlers.forms import ToolForm
from handlers.forms.widget import show
from handlers.starters import STARTERS
from jobs import JSON, JobRequest
from names import ASSISTANT
from toolkit.parameters import MISSING, Kind, Parameter

AGENT = "agent"
"""Chainlit's mode that chooses the agent."""
MAX_STARTERS = 8
BETWEEN = ":"
"""Between an agent's name and a setting's, in the id of an input. The page takes a point for a path into objects."""

Agent = Mapping[str, JSON]
"""As the workers offer it."""


def choice(agents: Sequence[Agent], last: JobRequest | None) -> list[dict[str, Any]]:
    """Returns Chainlit's mode for the agent, if there is a choice. A thread keeps the one that answered last."""
    names = [str(agent["name"]) for agent in agents]
    chosen = last.task if last is not None and last.agent else next(iter(names), "")
    if len(names) < 2 and chosen in names:
        return []
    options = [
        {
            "id": agent["name"],
            "name": agent["name"],
            "description": _headline(agent),
            "default": agent["name"] == chosen,
        }
        for agent in agents
    ]
    return [{"id": AGENT, "name": "Agent", "options": options}] if options else []


def chosen_agent(modes: Any) -> str | None:
    """Returns the agent that a message was sent to; None for that of the thread."""
    chosen = modes.get(AGENT) if isinstance(modes, dict) else None
    return chosen if isinstance(chosen, str) else None


def panel(agents: Sequence[Agent], last: JobRequest | None) -> list[dict[str, Any]]:
    """Returns the inputs of Chainlit's settings. Beside other agents, each has a tab with its name."""
    tabs = [
        {"id": agent["name"], "label": agent["name"], "inputs": inputs}
        for agent in agents
        if (inputs := _inputs(agent, last))
    ]
    return list(tabs[0]["inputs"]) if tabs and len(agents) == 1 else tabs


def settings_in(agent: Agent, panel: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the panel's values for this agent, by parameter; empty if they were not changed."""
    head = f"{agent['name']}{BETWEEN}"
    return {name.removeprefix(head): value for name, value in panel.items() if name.startswith(head)}


def starters(agents: Sequence[Agent]) -> list[tuple[str, str]]:
    """Returns label and message of each starter: those of the default agent, then the others'."""
    first = agents[0] if agents else None
    own = [(one, one) for agent in agents for one in agent["starters"]]
    if first is None or (first["name"] == ASSISTANT and not first["starters"]):
        own = [(one.label, one.message) for one in STARTERS if one.path.is_file()] + own
    return own[:MAX_STARTERS]


def agent_of_starter(agents: Sequence[Agent], message: str) -> str | None:
    """Returns the agent whose starter sends exactly this message."""
    return next((str(agent["name"]) for agent in agents if message in agent["starters"]), None)


def _headline(agent: Agent) -> str:
    return str(agent["description"]).strip().splitlines()[0]


def _inputs(agent: Agent, last: JobRequest | None) -> list[dict[str, Any]]:
    kept = last.arguments if last is not None and last.task == agent["name"] else {}
    fields = ToolForm.of(agent).fields
    return [_input(agent, field, kept.get(field.name, field.default)) for field in fields]


def _input(agent: Agent, field: Parameter, value: JSON) -> dict[str, Any]:
    shown = show(field, None if value is MISSING else value)
    told: dict[str, Any] = {
        "id": f"{agent['name']}{BETWEEN}{field.name}",
        "label": field.title,
        "description": field.description,
        "initial": shown,
        "type": "textinput",
    }
    match field.kind:
        case Kind.BOOLEAN:
            return told | {"type": "switch"}
        case Kind.CHOICE:
            items = [{"label": option.label, "value": str(number)} for number, option in enumerate(field.options)]
            return told | {"type": "select", "items": items}
        case Kind.LONG_TEXT | Kind.LIST | Kind.JSON:
            return told | {"multiline": True}
        case _:
            return told
