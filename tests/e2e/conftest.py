"""The real `cleave up` in a folder of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.platform.settings import environment_of
from tests.fixtures.database import settings_for
from tests.fixtures.waiting import children_of, command_of, eventually, processes_with

_UP = [sys.executable, "-m", "service.cli", "up", "--json"]


@dataclass
class Up:
    """`cleave up`: started, called, killed, started again on the same data."""

    home: Path
    key: str = ""
    values: dict[str, object] = field(default_factory=dict)  # settings of its own
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    clients: list[httpx.Client] = field(default_factory=list)

    def start(self) -> httpx.Client:
        """Returns a client once the service is ready."""
        environment = environment_of(settings_for(self.home.parent, data_dir=self.home, **self.values))
        process = subprocess.Popen(
            [*_UP, "--port", "0", "--data-dir", str(self.home)],
            stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            ready = json.loads(line)
            self.key = ready.get("api_key", self.key)
            if "url" not in ready:
                continue
            headers = {"Authorization": f"Bearer {self.key}"}
            client = httpx.Client(base_url=ready["url"], headers=headers, timeout=60)
            self.clients.append(client)
            return client
        raise AssertionError(f"it ended with {process.wait()} before it was ready")

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.processes[-1]

    def runners(self) -> list[int]:
        """Training runners, not the warm one."""
        found = children_of(self.process.pid)
        trainers = [pid for pid in found if "--queue train" in command_of(pid)]
        return [p for t in trainers for p in children_of(t) if "worker.runner" in command_of(p)]

    def leftovers(self) -> list[int]:
        """Living processes that know of this folder."""
        return processes_with(str(self.home))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with stopped_afterwards(Up(tmp_path / "home")) as service:
        yield service


@contextmanager
def stopped_afterwards(service: Up) -> Iterator[Up]:
    """The same; afterwards nothing of it is left."""
    yield service
    for client in service.clients:
        client.close()
    for process in service.processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    eventually(lambda: not service.leftovers(), 20)
