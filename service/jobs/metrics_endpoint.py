"""/metrics for Prometheus: the engine's figures, from the database, and this process's requests."""

import json
import threading
import time

from fastapi import APIRouter, Request, Response

from service.jobs.gauges import Figure, figures
from service.platform.database import Database
from service.platform.dependencies import CallerDep, DatabaseDep
from service.platform.traffic import Traffic

_FRESH_S = 5.0
_MEDIA = "text/plain; version=0.0.4; charset=utf-8"


class _Cache:
    """The text of the last look at a database: however many ask, it is looked at once in five seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[Database | None, str, float] = (None, "", 0.0)

    def text(self, database: Database) -> str:
        known, text, until = self._last
        if known is database and time.monotonic() < until:
            return text
        # While another looks, the old text will do; only where there is none is it waited for.
        if not self._lock.acquire(blocking=known is not database):
            return text
        try:
            known, text, until = self._last
            if known is not database or time.monotonic() >= until:
                with database.read() as session:
                    text = render(figures(session))
                self._last = (database, text, time.monotonic() + _FRESH_S)
            return text
        finally:
            self._lock.release()


_cache = _Cache()
router = APIRouter()


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, database: DatabaseDep, _: CallerDep) -> Response:
    """Counts and ages over all tenants, in Prometheus's text format. Needs an API key like any other."""
    traffic: Traffic = request.app.state.traffic
    return Response(_cache.text(database) + traffic.text(), media_type=_MEDIA)


def render(found: list[Figure]) -> str:
    """The text of the figures, each with all its digits."""
    lines: list[str] = []
    told: set[str] = set()
    for figure in found:
        name = f"cleave_{figure.name}"
        if name not in told:
            lines.append(f"# TYPE {name} {figure.kind}")
            told.add(name)
        # JSON's escapes are those of a label's value.
        labels = ",".join(f"{key}={json.dumps(value)}" for key, value in figure.labels.items())
        value = float(figure.value)
        lines.append(f"{name}{{{labels}}} {value!r}" if labels else f"{name} {value!r}")
    return "\n".join(lines) + "\n"
