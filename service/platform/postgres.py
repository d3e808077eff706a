"""Connections to PostgreSQL that give up on a server which falls silent.

Needs psycopg: to be imported only where the database is PostgreSQL.
"""

import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event

# One plan for every class or tag is a bad one for some of them. To compile a plan, or to start processes that
# share in it, costs more than it saves: 28 ms where the rows are found in one.
_PLANS = "-c plan_cache_mode=force_custom_plan -c jit=off -c max_parallel_workers_per_gather=0"
RV = TypeVar("RV")


class PatientConnection(psycopg.Connection[Any]):
    """`silence_s`: how long the server may say nothing when it was asked something.

    The kernel notices a machine that is gone; a server that hangs or is stopped takes whatever it is sent.
    """

    silence_s = math.inf

    def wait(self, gen: PQGen[RV], *args: Any, **options: Any) -> RV:
        """As in psycopg; raises OperationalError, and closes the connection, after too long a silence."""
        return super().wait(self._heard(gen), *args, **options)

    def _heard(self, gen: PQGen[RV]) -> PQGen[RV]:
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard_at = now
                elif now - heard_at > self.silence_s:
                    self.pgconn.finish()  # an answer that came later would be taken for the next one's
                    raise psycopg.OperationalError(f"the server has said nothing for {self.silence_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer


def connection_options(timeout_s: float, said: Mapping[str, Any]) -> dict[str, Any]:
    """For libpq; `said`: what the URL says itself, which counts.

    A statement that takes long is ended by the server, before the server counts as silent.
    """
    seconds = max(1, math.ceil(timeout_s))
    ours = {
        "connect_timeout": seconds,
        "tcp_user_timeout": round(1000 * timeout_s),
        # For a connection that only listens.
        "keepalives_idle": seconds,
        "keepalives_interval": max(1, seconds // 4),
        "keepalives_count": 4,
    }
    options = f"{_PLANS} -c statement_timeout={round(750 * timeout_s)} {said.get('options', '')}"
    return {**{name: value for name, value in ours.items() if name not in said}, "options": options}


def connect_patiently(engine: Engine, timeout_s: float) -> None:
    """Let the engine's connections be patient ones."""

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> PatientConnection:
        connection = PatientConnection.connect(*arguments, **options)
        connection.silence_s = timeout_s
        return connection
