"""A PostgreSQL and a Redis of our own, so that they can be restarted and emptied."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis

from service.platform.parent_death import bound_command


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Postgres:
    """Its data is not synced to disk: its processes are killed here, never the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder / "postgres", free_port()
        self._folder.mkdir()
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8")
        self._ctl("start")
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def restart(self) -> None:
        """As after a crash: no connection survives, what was committed does."""
        self._ctl("restart")

    def stop(self) -> None:
        self._ctl("stop")

    def _ctl(self, action: str) -> None:
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        mode = [] if action == "start" else ["-m", "immediate"]
        log = ["-l", str(self._folder / "log"), "-o", options] if action != "stop" else []
        self._run("pg_ctl", "--wait", "--timeout=60", *log, *mode, action)

    def _run(self, program: str, *arguments: str) -> None:
        found = shutil.which(program) or str(max(Path("/usr/lib/postgresql").glob(f"*/bin/{program}")))
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*user, found, "-D", str(self._folder), *arguments]
        with (self._folder.parent / "postgres.log").open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd="/")


class Redis:
    """In memory only."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
        with (folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(bound_command(command), stdout=log, stderr=log)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[bool]:
    """Mount a file system of this size there; False where that is not allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def faked_clock(offset: Path) -> Mapping[str, str]:
    """The environment of a process whose wall clock follows this file; empty without libfaketime."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        return {}
    offset.write_text("+0\n")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
