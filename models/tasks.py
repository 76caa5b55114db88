"""The tasks that a worker registers: the chat turn, and one for each tool."""

from __future__ import annotations

from collections.abc import Mapping

from files.store import FileStore
from jobs.context import JobContext, TaskFunction
from jobs.models import JSON
from models.models import Models
from models.tools import Toolbox, tool_task
from names import CHAT
from toolkit.pool import HostPool


def build_tasks(models: Models, pool: HostPool, files: FileStore) -> Mapping[str, TaskFunction]:
    """Returns tasks by name. The name `chat` always means the chat turn, even if a tool has that name."""
    toolbox = Toolbox(pool, models, files)

    async def answer(ctx: JobContext) -> JSON:
        await models.ready()
        # Loaded by now; an import at the top would delay the worker's start by two seconds.
        from models.chat import chat

        return await chat(ctx, models, toolbox, files)

    return {**{spec.name: tool_task(toolbox, spec.name) for spec in pool.catalogue}, CHAT: answer}
