"""`cleave up` for benchmarks, embedded or over PostgreSQL and Redis, with data that goes afterwards."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from service.client import CleaveClient
from service.platform.settings import Settings, environment_of
from tests.fixtures import redis
from tests.fixtures.database import postgres_url, settings_for

Mode = Literal["embedded", "servers"]
MODES: tuple[Mode, ...] = ("embedded", "servers")


@dataclass(frozen=True)
class Running:
    """A service that answers. `pid`: of `cleave up`, the parent of its processes."""

    client: CleaveClient
    settings: Settings
    pid: int


@contextmanager
def fresh_settings(mode: Mode, **values: object) -> Iterator[Settings]:
    """Settings over an empty data folder; in mode `servers` over an empty database and a prefix of Redis."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cleave-benchmark-")))
        servers: dict[str, Any] = {}
        if mode == "servers":
            servers = {"database_url": stack.enter_context(postgres_url()), "broker_url": redis.URL}
            servers["broker_prefix"] = stack.enter_context(redis.redis_prefix())
        yield settings_for(folder, **servers, **values)


@contextmanager
def running(mode: Mode, **values: object) -> Iterator[Running]:
    """The whole service, stopped afterwards."""
    with fresh_settings(mode, port=0, **values) as settings:
        command = [sys.executable, "-m", "service.cli", "up", "--json"]
        process = subprocess.Popen(
            command, env=environment_of(settings), stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            told: dict[str, str] = {}
            while "url" not in told and process.stdout:
                told |= json.loads(process.stdout.readline())
            with CleaveClient(told["url"], told["api_key"], timeout=60) as client:
                yield Running(client, settings, process.pid)
        finally:
            process.terminate()
            process.wait(60)
            if process.stdout:
                process.stdout.close()
