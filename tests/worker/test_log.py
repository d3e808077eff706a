"""The log of a real worker: who it is, and one format for all that is said, also by the libraries."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from service.jobs.tables import Worker
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.queue import prepare_broker
from tests.fixtures.waiting import children_of, eventually
from tests.worker.test_brokers import workers


def test_it_names_the_worker_and_a_child_that_was_killed_in_json(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    prepare_broker(settings)
    command = [sys.executable, "-m", "worker", "--queue", "short", "--device", "cpu"]
    environment = {**environment_of(settings), "CLEAVE_LOG_FORMAT": "json"}
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(command, env=environment, stderr=file) as process:
        try:
            (first,) = eventually(lambda: workers(database))
            os.kill(children_of(process.pid)[0], signal.SIGKILL)
            both = eventually(lambda: (found := workers(database))[1:] and found)
            eventually(lambda: "SIGKILL" in log.read_text())
            with database.read() as session:
                assert {session.get_one(Worker, name).pid for name in both} == {process.pid}
        finally:
            process.kill()
    told = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert {f"{name}: queue short, device cpu" for name in (first, *both)} <= set(told)
    assert any(line.startswith("Process ") and "SIGKILL" in line for line in told)
