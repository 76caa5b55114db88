"""The parts of a worker process: the back end, the tool hosts, the models, and the worker itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import starting
from background import cancel_and_wait, keep_running
from files.store import FileStore
from jobs.context import TaskFunction
from jobs.dispatch import Dispatcher
from jobs.worker import Worker
from models.models import Models, ModelSettings, open_models
from models.tasks import build_tasks
from services.audit import AuditLog
from services.backend import open_backend
from services.data_dir import DataDir
from services.permissions import keep_private
from services.solitary import SolitaryWorkers
from services.space import check_data_dir
from services.tracing import Traces
from settings import MEGABYTE, Settings, refuse
from toolkit.catalogue import AgentSpec
from toolkit.pool import HostPool
from toolkit.watchdog import LoopWatchdog

logger = logging.getLogger(__name__)


async def run_worker(settings: Settings, *, supervised: bool, alone: str | None = None) -> None:
    """Works until told to stop. A supervised worker finishes its running jobs and ends when its parent is gone.

    alone: the id of the one job that it runs, and ends.
    """
    data = DataDir(settings.data)
    keep_private(data)
    check_data_dir(data.path)
    starting.allow_open_files()
    async with AsyncExitStack() as stack:
        stack.enter_context(AuditLog(data.audit))
        backend = await stack.enter_async_context(open_backend(settings))
        if settings.traces:
            await stack.enter_async_context(Traces(backend.store, backend.transitions))
        pool = HostPool(
            settings.tools,
            environment=settings.tool_environment,
            scratch=data.scratch,
            mcp_servers=settings.mcp_file,
            log_format=settings.log_format,
            process_limit=settings.tool_processes,
        )
        agents = HostPool(
            settings.agents,
            kind="agent",
            spare_hosts=0,  # one serves all; when it dies, models that are answering continue
            environment=settings.tool_environment,
            scratch=data.scratch,
            log_format=settings.log_format,
        )
        await asyncio.gather(*(stack.enter_async_context(one) for one in (pool, agents)))  # each imports for a while
        warn_of_unknown_tools(pool, agents)
        models = await stack.enter_async_context(open_models(model_settings(settings)))
        stack.push_async_callback(cancel_and_wait, asyncio.create_task(_guard_loop(models), name="watchdog"))
        tasks = _tasks(models, pool, agents, backend.files)
        solitary = await stack.enter_async_context(SolitaryWorkers(drain_seconds=settings.drain_seconds))
        dispatcher = await stack.enter_async_context(
            backend.dispatcher(
                tasks=tuple(tasks),
                catalogue=[spec.to_json() for spec in (*pool.catalogue, *agents.catalogue)],
                isolate=None if alone else solitary.start,
                only=alone,
            )
        )
        slots = 1 if alone else settings.worker_slots
        worker = Worker(backend.store, dispatcher, backend.wake, tasks, slots=slots)
        offers = {"worker": dispatcher.worker_id, "slots": slots, "tools": len(pool.catalogue)}
        stack.push_async_callback(cancel_and_wait, asyncio.create_task(_warm_up(models, dispatcher), name="warm up"))
        logger.info("worker started", extra={"fields": offers})
        await _run_until_told(worker, solitary, settings.drain_seconds, supervised=supervised)
        logger.info("worker stopped", extra={"fields": {"worker": dispatcher.worker_id}})


def warn_of_unknown_tools(pool: HostPool, agents: HostPool) -> None:
    known = {spec.name for spec in pool.catalogue}
    for spec in agents.catalogue:
        if isinstance(spec, AgentSpec) and (unknown := set(spec.tools or ()) - known):
            fields = {"agent": spec.name, "unknown": ", ".join(sorted(unknown))}
            logger.warning("agent names unknown tools", extra={"fields": fields})


def _tasks(models: Models, tools: HostPool, agents: HostPool, files: FileStore) -> Mapping[str, TaskFunction]:
    """Ends the process when a name means two things."""
    try:
        return build_tasks(models, tools, agents, files)
    except ValueError as error:
        refuse(str(error))


async def _guard_loop(models: Models) -> None:
    """Reports each stall of our loop, which is a bug of ours. Imports at the start may block it, from their thread."""
    await models.all_loaded()
    starting.end()
    async with LoopWatchdog("worker"):
        await asyncio.Future()


async def _warm_up(models: Models, dispatcher: Dispatcher) -> None:
    await models.ready()

    async def tell() -> bool:
        await dispatcher.tell_warm()
        return True

    await keep_running(tell, name="worker record")


def model_settings(settings: Settings) -> ModelSettings:
    key = settings.openai_api_key
    return ModelSettings(
        model=settings.model_name,
        base_url=settings.openai_base_url,
        api_key=key.get_secret_value() if key is not None else None,
        idle_seconds=settings.model_idle_seconds,
        context_tokens=settings.context_tokens,
        max_answer_bytes=round(settings.max_answer_mb * MEGABYTE),
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )


async def _run_until_told(worker: Worker, solitary: SolitaryWorkers, drain_seconds: float, *, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(worker.run(), name="worker")
    ending: list[asyncio.Task[None]] = []

    def drain() -> None:
        if not ending:
            solitary.drain()
            ending.append(asyncio.create_task(worker.drain(drain_seconds), name="drain"))

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, drain)
    if supervised:

        def finish() -> None:
            solitary.finish()
            worker.finish()

        await _on_end_of_input(finish)
    await running
    await asyncio.gather(*ending)


async def _on_end_of_input(finish: Callable[[], None]) -> None:
    """End of file on stdin means that the parent is gone."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin)
            logger.warning("web process gone; finishing what runs here")
            finish()

    loop.add_reader(sys.stdin, readable)
