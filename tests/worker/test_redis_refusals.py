"""A Redis that refuses commands for a while: for its workers it is away, and comes back."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from core.specs import ExtractSpec
from service.jobs import service
from service.platform.database import Database
from service.platform.settings import Settings
from service.queue import create_celery
from tests.fixtures.database import default_tenant, settings_for
from tests.fixtures.jobs import read_job
from tests.fixtures.waiting import eventually
from tests.worker.test_brokers import running_dispatcher, running_worker


def test_a_refusal_counts_as_being_away(tmp_path: Path) -> None:
    with create_celery(settings_for(tmp_path, broker_url="redis://127.0.0.1:1/0")) as app:
        assert ResponseError in app.connection().connection_errors


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A server of its own: what it is told to refuse it refuses to everybody."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with (
        subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server,
        Redis(port=port) as client,
    ):
        try:
            eventually(lambda: _answers(client))
            yield client
        finally:
            server.kill()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(180)
def test_workers_outlive_refusals(own_redis: Redis, postgres_database: str, tmp_path: Path) -> None:
    port = own_redis.connection_pool.connection_kwargs["port"]
    url = f"redis://127.0.0.1:{port}/0"
    settings: Settings = settings_for(
        tmp_path, database_url=postgres_database, broker_url=url, publish_timeout_s=2.0
    )
    database = Database(settings)
    tenant = default_tenant(database)

    def fails() -> bool:
        # It fails by name before it needs a runner: its model does not exist.
        with database.write() as session:
            job_id = service.enqueue(session, tenant, ExtractSpec(model_id="mdl_none")).id
        return bool(eventually(lambda: read_job(database, job_id).state == "failed", 60))

    with running_dispatcher(settings, database), running_worker(settings, database) as worker:
        assert fails()
        own_redis.config_set("min-replicas-to-write", 1)
        time.sleep(5)
        own_redis.config_set("min-replicas-to-write", 0)
        assert fails()
        assert worker.poll() is None
    database.dispose()
