"""Spans by OpenTelemetry, sent by OTLP over HTTP. Only `service.platform.tracing` imports this module.

The SDK itself reads the standard variables: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS,
OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME and the rest.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.platform.tracing import Attributes, Kind
from service.platform.version import service_version

# A runner is killed between two jobs without a warning: what it knows must be gone by then.
_SEND_EVERY_MS = 500
_FORM = TraceContextTextMapPropagator()


class OpenTelemetry:
    """The tracer of one process, after any fork."""

    def __init__(self, process: str) -> None:
        ours = Resource(
            {
                "service.namespace": "cleave",
                "service.name": f"cleave-{process}",
                "service.version": service_version(),
            }
        )
        # Its own end of the process would wait for a collector that is away.
        self._provider = TracerProvider(
            resource=Resource.create().merge(ours).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=_SEND_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("cleave", service_version())

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str | None) -> Iterator[None]:
        context = None if parent is None else _FORM.extract({"traceparent": parent}, Context())
        # Neither messages nor stacks: both may hold what a log line would have redacted.
        with self._tracer.start_as_current_span(
            name, context, SpanKind[kind.upper()], record_exception=False, set_status_on_exception=False
        ):
            try:
                yield
            except Exception as error:
                self.fail(type(error).__name__)
                raise

    def rename(self, name: str) -> None:
        trace.get_current_span().update_name(name)

    def note(self, attributes: Attributes) -> None:
        present = {name: value for name, value in attributes.items() if value is not None}
        trace.get_current_span().set_attributes(present)

    def fail(self, reason: str) -> None:
        trace.get_current_span().set_status(Status(StatusCode.ERROR, reason))

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _FORM.inject(carrier)
        return carrier.get("traceparent")

    def ids(self) -> dict[str, str]:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }

    def close(self, seconds: float) -> None:
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(seconds)
