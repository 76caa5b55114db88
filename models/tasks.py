"""The tasks that a worker registers: one for each agent and tool, `chat` (the default agent) and `model`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from files.store import FileStore
from jobs.context import JobContext, TaskFunction
from jobs.models import JSON
from models.models import Models
from models.tools import Toolbox, tool_task
from names import CHAT, MODEL
from toolkit.catalogue import AgentSpec
from toolkit.pool import HostPool

if TYPE_CHECKING:
    from models.agents import Agents


def build_tasks(models: Models, tools: HostPool, agents: HostPool, files: FileStore) -> Mapping[str, TaskFunction]:
    """Returns tasks by name. Raises `ValueError` for a name that means two things."""
    toolbox = Toolbox(tools, models, files)

    @functools.cache
    def served() -> Agents:
        from models.agents import Agents  # an import at the top would delay the worker's start by two seconds

        return Agents(agents, toolbox, models, files)

    def answering(name: str) -> TaskFunction:
        async def answer(ctx: JobContext) -> JSON:
            await models.ready()
            return await served().answer(ctx, name)

        return answer

    async def model(ctx: JobContext) -> JSON:
        await models.ready()
        from models.passthrough import pass_through  # as above

        return await pass_through(ctx, models)

    specs = [spec for spec in agents.catalogue if isinstance(spec, AgentSpec)]
    _check_names(
        [
            *((spec.name, "an agent") for spec in specs),
            *((spec.name, "a tool") for spec in tools.catalogue),
            (CHAT, "the task of conversations"),
            (MODEL, "the task of plain model calls"),
            *((name, "the model") for name in {models.settings.model} - {MODEL}),
        ]
    )
    tasks: dict[str, TaskFunction] = {spec.name: tool_task(toolbox, spec.name) for spec in tools.catalogue}
    tasks |= {spec.name: answering(spec.name) for spec in specs}
    tasks[MODEL] = model
    if (default := default_agent(specs)) is not None:
        tasks[CHAT] = answering(default.name)
    return tasks


def _check_names(named: Iterable[tuple[str, str]]) -> None:
    known: dict[str, str] = {}
    for name, what in named:
        if known.setdefault(name, what) != what:
            raise ValueError(f"{name!r} is the name of {known[name]} and of {what}: rename one of them.")


def default_agent(specs: list[AgentSpec]) -> AgentSpec | None:
    """Returns the default agent: the one that is declared as default, else the first."""
    chosen = [spec for spec in specs if spec.is_default]
    if len(chosen) > 1:
        listed = ", ".join(repr(spec.name) for spec in chosen)
        raise ValueError(f"Only one agent can be the default, not {listed}.")
    return next(iter([*chosen, *specs]), None)
