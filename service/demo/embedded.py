"""The embedded service as a subprocess: started on a free port, stopped whatever happens."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.client import CleaveApiError, CleaveClient, CleaveConnectionError, CleaveError

_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 30.0
_POLL_S = 0.1
_LOG_TAIL_LINES = 12
_LOG = "service.log"


class ServiceStartError(CleaveError):
    """The embedded service did not come up; the message carries the end of its log."""

    code = "service_start_failed"


@dataclass(frozen=True)
class EmbeddedService:
    """A running service and the key to it."""

    url: str
    api_key: str
    data_dir: Path


@contextmanager
def embedded_service(data_dir: Path) -> Iterator[EmbeddedService]:
    """Run `cleave up` with its data in `data_dir` while the block lasts. Raises ServiceStartError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    api_key = _create_key(data_dir)
    port = free_port()
    service = EmbeddedService(f"http://127.0.0.1:{port}", api_key, data_dir)
    with (data_dir / _LOG).open("ab") as output:
        # A session of its own: Ctrl-C in the terminal reaches only the demo, which then stops the service.
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*_cleave("up"), "--port", str(port), "--data-dir", str(data_dir)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=_environment(),
        )  # fmt: skip
    try:
        _wait_until_ready(process, service)
        yield service
    finally:
        _stop(process)


def free_port() -> int:
    """A TCP port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def log_tail(data_dir: Path) -> str:
    """The last lines of each process's log."""
    parts = []
    for log in (data_dir / _LOG, *sorted((data_dir / "logs").glob("*.log"))):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        parts += [f"--- {log.name}", *lines]
    return "\n".join(parts)


def _cleave(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", *arguments]


def _environment() -> dict[str, str]:
    """The demo shows the defaults: settings of the caller's own deployment must not leak into it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CLEAVE_")}


def _create_key(data_dir: Path) -> str:
    command = [*_cleave("keys", "create"), "--name", "demo", "--data-dir", str(data_dir), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())  # noqa: S603 - our own command
    if done.returncode != 0:
        raise ServiceStartError(f"`cleave keys create` failed: {done.stderr.strip()}")
    key: str = json.loads(done.stdout)["api_key"]
    return key


def _wait_until_ready(process: subprocess.Popen[bytes], service: EmbeddedService) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    reason = "it did not answer"
    with CleaveClient(service.url, service.api_key, timeout=5.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                reason = f"it ended with exit code {process.returncode}"
                break
            try:
                client.ready()
                return
            except (CleaveConnectionError, CleaveApiError) as error:
                reason = str(error)
            time.sleep(_POLL_S)
    raise ServiceStartError(
        f"the service is not ready: {reason}. Its logs end:\n{log_tail(service.data_dir)}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask `cleave up` to stop its children and itself; kill what is left of its group if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
