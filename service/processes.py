"""`cleave up`: the whole service on one machine, as child processes that start, restart and stop together."""

import errno
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from service.jobs import leases
from service.migrate import upgrade
from service.platform.database import Database
from service.platform.errors import ServiceError
from service.platform.parent_death import bound_command
from service.platform.settings import Settings, environment_of
from service.queue import prepare_broker
from service.tenants.keys import ensure_default_key

_LOG = logging.getLogger(__name__)
_EMBEDDED_LEASE_TTL_S = 20.0
_READY_WITHIN_S = 60.0
_TICK_S = 0.1
_STOP_SLACK_S = 10.0
_RESTARTS = 5
_RESTART_WINDOW_S = 60.0
_ORDER = ("api", "dispatcher", "worker-train", "worker-short")


class PortInUseError(ServiceError):
    code, title = "port_in_use", "The port is in use"


class CannotListenError(ServiceError):
    code, title = "cannot_listen", "The address cannot be listened on"


class AlreadyRunningError(ServiceError):
    code, title = "already_running", "Another instance uses this data folder"


class StartError(ServiceError):
    code, title = "start_failed", "A process of the service does not stay up"


@dataclass
class Child:
    """One child process and when it was last started."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    starts: list[float] = field(default_factory=list)


def run_up(
    settings: Settings,
    *,
    on_key: Callable[[str], None] = lambda _: None,
    on_ready: Callable[[str], None] = lambda _: None,
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Run until SIGINT or SIGTERM; afterwards no process of it is left. Call it from the main thread.

    Args:
        on_key: Called with the first API key, if this start made one.
        on_ready: Called with the URL once the API answers.
        on_stopping: Called when it was asked to stop, before the processes are told.

    Raises:
        PortInUseError, CannotListenError, AlreadyRunningError, StartError
    """
    if "lease_ttl_s" not in settings.model_fields_set:
        settings = settings.model_copy(update={"lease_ttl_s": _EMBEDDED_LEASE_TTL_S})
    with _instance_lock(settings.home), _listener(settings) as listener, _stop_signals() as stop:
        key = _prepare(settings)
        if key is not None:
            on_key(key)
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        with _Children(settings.model_copy(update={"port": port}), listener) as children:
            if children.wait_ready(url, stop):
                on_ready(url)
            while not stop.is_set():
                children.revive()
                stop.wait(_TICK_S)
            on_stopping()


def _prepare(settings: Settings) -> str | None:
    """Schema, broker folders, first key; leases of an earlier run that was killed end now."""
    upgrade(settings)
    prepare_broker(settings)
    database = Database(settings)
    try:
        with database.write() as session:
            if database.engine.dialect.name == "sqlite":
                # The instance lock is ours and children die with their parent: no earlier worker is alive.
                leases.expire_all(session)
            return ensure_default_key(session, settings)
    finally:
        database.dispose()


class _Children:
    """The child processes, alive for as long as the block lasts."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._environment = environment_of(settings)
        self._logs = settings.home / "logs"
        self._children: dict[str, Child] = {}

    def __enter__(self) -> "_Children":
        self._logs.mkdir(exist_ok=True)
        python = [sys.executable, "-m"]
        commands = {
            "api": [*python, "service.server", "--fd", str(self._listener.fileno())],
            "dispatcher": [*python, "service.dispatcher"],
            "worker-train": [*python, "worker", "--queue", "train"],
            "worker-short": [*python, "worker", "--queue", "short"],
        }
        for name in _ORDER:
            process = self._start(name, commands[name])
            self._children[name] = Child(name, commands[name], process, [time.monotonic()])
        return self

    def __exit__(self, *_: object) -> None:
        """API first (nothing new comes in), then the dispatcher, then the workers together, which drain."""
        workers = [name for name in _ORDER if name.startswith("worker")]
        for names in (["api"], ["dispatcher"], workers):
            for name in names:
                self._children[name].process.send_signal(signal.SIGTERM)
            for name in names:
                self._end(self._children[name].process)

    def wait_ready(self, url: str, stop: threading.Event) -> bool:
        """Until /readyz answers 200. Raises StartError; False when stopped before."""
        deadline = time.monotonic() + _READY_WITHIN_S
        with httpx.Client(base_url=url, timeout=5.0, trust_env=False) as client:
            while not stop.is_set():
                self.revive()
                with suppress(httpx.TransportError):
                    if client.get("/readyz").status_code == 200:
                        return True
                if time.monotonic() > deadline:
                    raise StartError(f"Not ready after {_READY_WITHIN_S:.0f} s; see {self._logs}.")
                stop.wait(_TICK_S)
        return False

    def revive(self) -> None:
        """Start children again that have died. Raises StartError for one that does not stay up."""
        for child in self._children.values():
            if child.process.poll() is None:
                continue
            now = time.monotonic()
            child.starts = [t for t in child.starts if now - t < _RESTART_WINDOW_S] + [now]
            _LOG.warning("%s ended with %s", child.name, child.process.returncode)
            if len(child.starts) > _RESTARTS:
                raise StartError(f"{child.name} ended {_RESTARTS} times; see {self._log(child.name)}.")
            child.process = self._start(child.name, child.command)

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as log:
            # A session of its own: Ctrl-C reaches this process only, which stops the rest in order.
            return subprocess.Popen(  # noqa: S603 - our own modules
                bound_command(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=self._environment, start_new_session=True, pass_fds=[self._listener.fileno()],
            )  # fmt: skip

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(self._settings.cancel_grace_s + _STOP_SLACK_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


@contextmanager
def _instance_lock(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"Another `cleave up` uses {home}; stop it or use another --data-dir."
            raise AlreadyRunningError(message) from error
        yield


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """The API's socket, held here: the port is ours from before the start and while the API restarts."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(2048)
        except OSError as error:
            where = f"Cannot listen on {settings.host}:{settings.port} ({error.strerror})"
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(f"{where}; choose another --port.") from error
            raise CannotListenError(f"{where}; is --host an address of this machine?") from error
        yield listener


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event, for as long as the block lasts."""
    stop = threading.Event()

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
