"""Which agent answers: the one that a person or program names, else the conversation's, else the default one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jobs import JSON, JobClient, JobFilter, JobRequest, JobsError
from names import CHAT

NEWEST = 10


class AgentGone(JobsError):
    """The conversation's agent is no longer offered."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The agent {name[:80]!r} of this conversation is no longer there: choose another one, or begin a new chat."
        )


async def addressed(jobs: JobClient, request: JobRequest, name: str | None = None) -> JobRequest:
    """Returns the chat turn for the agent `name`, or for the one that answered last in its thread.

    Its settings are those of that turn, where the request has none of its own. Raises `AgentGone`.
    """
    if request.agent or request.task != CHAT:
        return request
    last = await last_turn(jobs, request.user, request.thread_id)
    if name is None and last is None:
        return request
    agents = await jobs.agents()
    chosen = name or (last.task if last is not None and last.agent else None)
    agent = next((one for one in agents if one["name"] == chosen), None if chosen else next(iter(agents), None))
    if agent is None:
        if chosen is None:
            return request  # no worker has offered anything yet
        raise AgentGone(chosen)
    settings = settings_of(agent, request.arguments)
    if not settings and last is not None and last.task in (chosen, request.task):
        settings = settings_of(agent, last.arguments)
    is_default = agent is agents[0] and not (last is not None and last.agent)
    request = replace(request, arguments={**request.arguments, **settings})
    return request if is_default else replace(request, task=str(agent["name"]), agent=True)


async def last_turn(jobs: JobClient, user: str, thread_id: str | None) -> JobRequest | None:
    """Returns what the user asked last in the thread, among its newest jobs."""
    if thread_id is None:
        return None
    newest = await jobs.jobs(JobFilter(user=user, thread_id=thread_id, limit=NEWEST))
    return next((job.request for job in newest if job.request.is_turn), None)


async def find(jobs: JobClient, name: str) -> Mapping[str, JSON] | None:
    """Returns the agent on offer under this name."""
    return next((agent for agent in await jobs.agents() if agent["name"] == name), None)


def settings_of(agent: Mapping[str, JSON], arguments: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns those of the arguments that are the agent's settings."""
    known = agent["parameters"].get("properties", {})
    return {name: value for name, value in arguments.items() if name in known}
