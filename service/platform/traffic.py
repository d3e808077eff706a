"""Requests of this process for Prometheus: how many, how they ended, how long they took (pure ASGI)."""

import time

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# A gauge beside each counter that tells when it began: Prometheus does not need it.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped


class Traffic:
    """The figures of one application.

    By the route's template, never by the path: paths hold identifiers and whatever a scanner sends.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        route = ("method", "route")
        self._requests = Counter(
            "cleave_http_requests", "Requests answered.", (*route, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "cleave_http_request_seconds", "Time until the answer began: streams and downloads go on.",
            route, registry=self._registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> str:
        """In Prometheus's text format."""
        return generate_latest(self._registry).decode()


class TrafficCounter:
    """Counts each request in the application's `state.traffic`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A crash is answered further out.
        begun, answered, status = time.perf_counter(), None, 500

        async def look(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                answered, status = time.perf_counter(), message["status"]
            await send(message)

        try:
            await self._app(scope, receive, look)
        finally:
            traffic: Traffic = scope["app"].state.traffic
            traffic.note(scope, status, (answered or time.perf_counter()) - begun)
