"""The real application on a real socket, and a network that breaks on demand."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from core.specs import parse_job_spec
from service.artifacts.tables import Artifact
from service.client import CleaveClient
from service.jobs.service import enqueue
from service.platform.database import Database
from service.platform.ids import new_id
from service.platform.settings import Settings, environment_of
from service.platform.storage import StoredBlob, open_store
from service.tenants.keys import create_key
from service.tenants.service import ensure_tenant
from tests.fixtures.database import migrate

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits", "epochs": 2}


@dataclass(frozen=True)
class LiveService:
    """A served application without workers: jobs stay queued."""

    url: str
    api_key: str
    settings: Settings
    database: Database

    def publish(self, content: bytes, scratch: Path, filename: str = "network.pt2") -> tuple[str, StoredBlob]:
        """Store an artifact as a finished job would; returns its id and blob."""
        source = scratch / "incoming"
        source.write_bytes(content)
        blob = open_store(self.settings).ingest(source)
        artifact_id = new_id("art")
        with self.database.write() as session:
            tenant_id = ensure_tenant(session)
            job = enqueue(session, tenant_id, parse_job_spec(TRAIN))
            session.flush()
            session.add(
                Artifact(
                    id=artifact_id,
                    tenant_id=tenant_id,
                    sha256=blob.sha256,
                    size=blob.size,
                    filename=filename,
                    media_type="application/octet-stream",
                    job_id=job.id,
                )
            )
        return artifact_id, blob


@contextmanager
def served(settings: Settings) -> Iterator[LiveService]:
    """Serve the application from a process of its own, as `cleave up` does."""
    migrate(settings)
    database = Database(settings)
    with database.write() as session:
        key = create_key(session, settings, "default", "tests")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "service.server", "--fd", str(listener.fileno())],
            env=environment_of(settings), pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            # The socket listens already: this request waits until the process answers it.
            with CleaveClient(url, key, timeout=60) as client:
                client.ready()
            yield LiveService(url, key, settings, database)
        finally:
            process.kill()
            process.wait()
            database.dispose()


class CuttingProxy:
    """A TCP proxy that cuts each connection after `per_connection` bytes of answers, all after `total`."""

    def __init__(self, upstream: str, per_connection: int, total: int | None = None) -> None:
        host, port = upstream.removeprefix("http://").split(":")
        self._upstream = (host, int(port))
        self._per_connection = per_connection
        self._left = total
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.statuses: list[int] = []
        self.passed = self.conditions = 0

    def __enter__(self) -> "CuttingProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._upstream)
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.conditions += data.lower().count(b"\r\nif-range: ")  # before the test can go on
                server.sendall(data)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        budget = self._per_connection
        with suppress(OSError), client, server:
            while budget > 0 and (self._left is None or self._left > 0):
                data = server.recv(min(65536, budget))
                if not data:
                    break
                self.statuses += map(int, re.findall(rb"HTTP/1\.1 (\d{3}) ", data))
                self.passed += len(data)
                client.sendall(data)
                budget -= len(data)
                self._left = None if self._left is None else self._left - len(data)
            client.shutdown(socket.SHUT_RDWR)
