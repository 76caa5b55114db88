"""The starters of a new chat: questions about the documents and tables in `samples/`."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).parent.parent / "samples"


@dataclass(frozen=True, kw_only=True)
class SampleStarter:
    """A message that is sent with a sample file."""

    label: str
    message: str
    file: str
    """Name in `samples/`."""

    @property
    def path(self) -> Path:
        return SAMPLES / self.file

    @property
    def mime(self) -> str:
        return mimetypes.guess_type(self.file)[0] or "text/plain"


STARTERS = (
    SampleStarter(
        label="A long job: reload me, close me, kill me",
        message="Take the tour with the attached handbook.",
        file="signals-handbook.pdf",
    ),
    SampleStarter(
        label="Summarise a handbook of 57 pages",
        message="Summarise the attached signals handbook, with page references.",
        file="signals-handbook.pdf",
    ),
    SampleStarter(
        label="Analyse a year of orders",
        message="Analyse the attached orders of a shop: what is in them, what stands out, how do they develop?",
        file="shop-orders.csv",
    ),
    SampleStarter(
        label="What went wrong in the incident?",
        message="Summarise the attached incident report: what happened, why, and what was decided.",
        file="incident-report.md",
    ),
    SampleStarter(
        label="What did the committee decide?",
        message="Summarise the decisions in the attached committee minutes.",
        file="committee-minutes.docx",
    ),
)


def starter_of(message: str) -> SampleStarter | None:
    """Returns the starter that sends exactly this message, if any."""
    return next((starter for starter in STARTERS if starter.message == message), None)
