"""Traces of what happens to a request and its job. Off, no SDK is imported and no span made."""

from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, Literal, Protocol

from service.platform.errors import TracingUnsupportedError
from service.platform.settings import Diagnostics

Kind = Literal["internal", "server", "producer", "consumer"]
Attributes = Mapping[str, str | int | None]


class Tracer(Protocol):
    """What `service.platform.otel` does."""

    def span(self, name: str, kind: Kind, parent: str | None) -> AbstractContextManager[None]: ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None: ...

    def fail(self, reason: str) -> None: ...

    def traceparent(self) -> str | None: ...

    def ids(self) -> Mapping[str, str]: ...

    def close(self, seconds: float) -> None: ...


NO_SPAN = nullcontext()
_tracer: Tracer | None = None


def start(settings: Diagnostics, process: str) -> None:
    """Trace from here on, if the settings say so. `process`: api, dispatcher, worker or runner.

    Raises:
        TracingUnsupportedError: the packages are not installed.
    """
    global _tracer
    require(settings)
    if settings.otel:
        from service.platform.otel import OpenTelemetry

        _tracer = OpenTelemetry(process)


def require(settings: Diagnostics) -> None:
    """Raises TracingUnsupportedError if traces are wanted that cannot be sent."""
    if not settings.otel:
        return
    try:
        import_module("service.platform.otel")
    except ModuleNotFoundError as error:
        raise TracingUnsupportedError(
            "CLEAVE_OTEL needs packages that are not installed: pip install 'cleave[otel]'"
        ) from error


def close(seconds: float = 1.0) -> None:
    """Send what is left, and trace no more. A collector that is away gets no more time than this."""
    global _tracer
    if _tracer is not None:
        _tracer.close(seconds)
        _tracer = None


def is_on() -> bool:
    return _tracer is not None


def span(name: str, *, kind: Kind = "internal", parent: str | None = None) -> AbstractContextManager[None]:
    """A span for as long as the block lasts. `parent`: a traceparent (W3C); else the span around."""
    return NO_SPAN if _tracer is None else _tracer.span(name, kind, parent)


def rename(name: str) -> None:
    """Give the span around another name."""
    if _tracer is not None:
        _tracer.rename(name)


def note(attributes: Attributes) -> None:
    """Add to the span around; what is None is left out."""
    if _tracer is not None:
        _tracer.note(attributes)


def fail(reason: str) -> None:
    """The span around does not end well. `reason`: a stable code; messages may hold secrets."""
    if _tracer is not None:
        _tracer.fail(reason)


def traceparent() -> str | None:
    """The span around, as another process is told of it."""
    return None if _tracer is None else _tracer.traceparent()


def add_ids(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: lines written within a span name it and its trace."""
    if _tracer is not None:
        event.update(_tracer.ids())
    return event
