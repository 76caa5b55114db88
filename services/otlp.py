"""Sends spans to an OTLP/HTTP collector with the OpenTelemetry SDK. Imported only when tracing is on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from jobs import Job, JobEvent
from services.spans import Span, draw, trace_id

logger = logging.getLogger(__name__)

SCOPE = InstrumentationScope("longhaul")
NANOSECONDS = 1_000_000_000


class Outlet:
    """Accepts ended jobs; a thread of the SDK sends them in batches. The SDK reads its own variables."""

    def __init__(self) -> None:
        # The SDK repeats that a collector is unreachable; `_Exporter` logs it once.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._resource = Resource({SERVICE_NAME: "longhaul"}).merge(OTELResourceDetector().detect())
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._exporter = _Exporter(OTLPSpanExporter())
        self._processor = BatchSpanProcessor(self._exporter)

    def send(self, job: Job, milestones: Sequence[JobEvent]) -> None:
        trace = trace_id(job)
        sampled = self._sampler.should_sample(None, trace, f"job {job.request.task}")
        if sampled.decision is Decision.RECORD_AND_SAMPLE:
            for span in draw(job, milestones):
                self._processor.on_end(self._readable(trace, span))

    def close(self) -> None:
        """Sends the rest. Takes as long as the collector does, unless `give_up` is called."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def give_up(self) -> None:
        """Stops waiting for the collector. Callable from any thread."""
        self._exporter.shutdown()

    def _readable(self, trace: int, span: Span) -> ReadableSpan:
        code = StatusCode.ERROR if span.error else StatusCode.UNSET
        error = {"error.type": span.error} if span.error else {}
        return ReadableSpan(
            name=span.name,
            context=_context(trace, span.id),
            parent=None if span.parent is None else _context(trace, span.parent),
            resource=self._resource,
            attributes={**span.attributes, **error},
            kind=SpanKind.INTERNAL,
            status=Status(code),
            start_time=int(span.begun * NANOSECONDS),
            end_time=int(span.ended * NANOSECONDS),
            instrumentation_scope=SCOPE,
        )


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _Exporter(SpanExporter):
    """Logs once that the collector is unreachable, and once that it is back."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._away = False
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away and not self._away:
            logger.warning("traces cannot be sent to the collector; jobs go on without them")
        elif self._away and not away:
            logger.warning("traces are sent to the collector again")
        self._away = away
        return result

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
