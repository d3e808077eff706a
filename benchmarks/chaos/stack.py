"""The service as separate processes over one data folder, started again whenever they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service.platform.parent_death import bound_command
from service.platform.settings import Settings, environment_of
from tests.fixtures.waiting import children_of, command_of

_STOP_WITHIN_S = 40.0


@dataclass
class Member:
    """One process of the service."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def keep_up(self) -> None:
        """Start it unless it runs. From the main thread: it dies with the thread that starts it."""
        if self.process is not None and self.process.poll() is None:
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                bound_command(self.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(self.environment), start_new_session=True,
            )  # fmt: skip
        self.starts += 1

    @property
    def pid(self) -> int:
        """Raises RuntimeError before the first start."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.process.pid

    def family(self) -> list[int]:
        return [self.pid, *children_of(self.pid)]


@dataclass
class Stack:
    """API, dispatcher and workers."""

    settings: Settings
    members: dict[str, Member] = field(default_factory=dict)

    def add(self, name: str, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "service.cli", *arguments]
        environment = {**environment_of(self.settings), "OMP_NUM_THREADS": "1", **(extra or {})}
        log = self.settings.home / f"{name}.log"
        self.members[name] = Member(name, command, environment, log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def keep_up(self) -> None:
        for member in self.members.values():
            member.keep_up()

    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=2.0, trust_env=False).status_code == 200
        return False

    def workers(self) -> list[Member]:
        return [member for name, member in self.members.items() if name.startswith("worker")]

    def stop(self) -> float:
        """SIGTERM to all; returns the seconds until the last was gone. Raises TimeoutError."""
        began = time.monotonic()
        processes = [m.process for m in self.members.values() if m.process is not None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(max(0.1, began + _STOP_WITHIN_S - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(f"{process.args!r} does not end") from error
        return time.monotonic() - began

    def kill(self) -> None:
        for member in self.members.values():
            if member.process is not None:
                send(member.family(), signal.SIGKILL)
                member.process.wait()


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def supervisor_below(pid: int) -> int:
    """A worker's child that runs its jobs; the worker itself while it has none."""
    return next((child for child in children_of(pid) if "-m worker --queue" in command_of(child)), pid)


def runners_below(pid: int) -> list[int]:
    return [child for child in children_of(pid) if "worker.runner" in command_of(child)]
