"""Turns a command into a draft with a form, and the completed form into the job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from handlers.commands import split_command
from handlers.forms import Filled, ToolForm, prefill
from handlers.turns import Turns
from jobs import (
    JSON,
    Job,
    JobClient,
    JobConflict,
    JobNotFound,
    JobRequest,
    JobStatus,
    KeyReused,
    QueueFull,
    ThreadNotFound,
)
from services.web import FileStore, StoredFileNotFound

GONE = "The form could not be found; reload the page."
UNAVAILABLE = "The tool {!r} is not available now; try again later."
RETRIED = "This job has been retried; change the arguments of the newest job."
SENT_BEFORE = "This form was already sent with other values. To send it again, reopen it."
FILE_GONE = "This file no longer exists; choose another one."


class UnknownCommand(Exception):
    """A message names a command that does not exist. The error's text is shown to the user."""


class Drafts:
    """Opens and submits forms."""

    def __init__(self, jobs: JobClient, files: FileStore, turns: Turns, *, patience_seconds: float) -> None:
        self._jobs = jobs
        self._files = files
        self._turns = turns
        self._patience_seconds = patience_seconds
        self._submitting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(
        self,
        chosen: str | None,
        text: str,
        *,
        user: str,
        thread_id: str,
        files: Sequence[str],
        model: str | None,
        key: str,
    ) -> Job | None:
        """Returns the draft for a message that is a command, or None for another message.

        Raises `UnknownCommand`, and the errors of `JobClient.submit`.
        """
        known = [str(tool["name"]) for tool in await self._jobs.tools()]
        command = split_command(chosen, text, known)
        if command is None:
            return None
        name, words = command
        form = await self._turns.form(name)
        if form is None:
            hint = f"There are: {', '.join(f'/{one}' for one in known)}." if known else "No tools are available yet."
            raise UnknownCommand(f"There is no command /{name[:60]}. {hint}")
        return await self._jobs.draft(
            JobRequest(
                task=name,
                user=user,
                input=words,
                arguments=prefill(form, words, files),
                thread_id=thread_id,
                files=tuple(files),
                model=model,
                patience_seconds=self._patience_seconds,
                key=key,
            )
        )

    async def submit(self, job_id: str, user: str, values: Mapping[str, Any], again: str = "") -> dict[str, str]:
        """Runs the tool with the form's values. Repeated calls run it once. Returns the problems by field.

        again: identifies the opening of a completed job's form: each begins one new job.
        """
        try:
            job = await self._jobs.get(job_id, user)
            # Two clicks, or two tabs, must not both find the form open.
            lock = self._submitting.setdefault(job.root_id, asyncio.Lock())
            async with lock:
                return await self._submit(job, values, again)
        except (JobNotFound, ThreadNotFound):
            return {"": GONE}

    async def _submit(self, job: Job, values: Mapping[str, Any], again: str) -> dict[str, str]:
        if await self._was_submitted(job):
            return {"": RETRIED} if again else {}
        form = await self._turns.form(job.request.task)
        if form is None:
            return {"": UNAVAILABLE.format(job.request.task)}
        filled = form.read(values)
        problems = filled.problems or await self._lost_files(form, filled, job.user)
        if problems:
            return problems
        try:
            files = [file_id for _, file_id in form.file_ids(filled.arguments)]
            if again and job.status is JobStatus.COMPLETED:
                await self._jobs.submit(self._changed(job, filled.arguments, files, again))
            else:
                await self._jobs.retry(job.id, job.user, filled.arguments, files)
        except KeyReused:
            return {"": SENT_BEFORE}
        except (JobConflict, QueueFull) as error:
            return {"": str(error)}
        return {}

    def _changed(self, job: Job, arguments: Mapping[str, JSON], files: Sequence[str], again: str) -> JobRequest:
        """Returns the request of a new job like the completed one, with other arguments."""
        return JobRequest(
            task=job.request.task,
            user=job.user,
            arguments=arguments,
            thread_id=job.thread_id,
            files=tuple(dict.fromkeys([*job.request.files, *files])),
            model=job.request.model,
            patience_seconds=self._patience_seconds,
            key=f"{job.id}:{again}",
        )

    async def _was_submitted(self, job: Job) -> bool:
        """Returns whether the form was already submitted or the job retried."""
        if job.status is JobStatus.COMPLETED or job.thread_id is None:
            return False
        turns = await self._jobs.thread_jobs(job.thread_id)
        return any(one.root_id == job.root_id and one.id != job.id for one in turns)

    async def _lost_files(self, form: ToolForm, filled: Filled, user: str) -> dict[str, str]:
        lost: dict[str, str] = {}
        for field, file_id in form.file_ids(filled.arguments):
            try:
                await self._files.get(file_id, user)
            except StoredFileNotFound:
                lost[field] = FILE_GONE
        return lost
