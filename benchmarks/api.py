"""The HTTP API beside its peers on this machine: `python -m benchmarks.api --mlflow PATH/TO/mlflow`.

- requests: MLflow's server and Cleave over the same PostgreSQL, each with as many registered models and
  versions (modules) as `--models` says: get one and list fifty, requests per second and latency at 1, 8 and
  32 clients, then latency at a steady 200 requests a second; both as they come, MLflow also with one worker
- downloads: a file of `--megabytes` from Cleave and from nginx

Goals: ten times MLflow's rate, p99 below 25 ms at 200 requests a second, 0.8 times nginx. Needs `hey` and
`nginx` (Debian's packages) and MLflow with psycopg in an environment of its own. Results: benchmarks/results.
"""

import argparse
import csv
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cut import RESULTS, machine
from service.platform.storage import open_store
from tests.fixtures.client import Registry
from tests.fixtures.database import default_tenant, postgres_url, settings_for
from tests.service.client.live import LiveService, served

CLIENTS = (1, 8, 32)
STEADY_RATE = 200
_STEADY_CLIENTS = 8
_VERSIONS = 10
Row = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A server that answers. `paths`: what is asked -> path with query."""

    name: str
    url: str
    paths: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mlflow", type=Path, help="the mlflow command; without it only Cleave is measured")
    parser.add_argument("--models", type=int, default=100, help="registered models, with ten versions each")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--megabytes", type=int, default=64, help="size of the downloaded file")
    parser.add_argument("--part", choices=("requests", "downloads"), action="append", help="default: both")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    for tool in ("hey", "nginx"):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed")
    load = os.getloadavg()[0]
    parts = options.part or ["requests", "downloads"]
    found: dict[str, list[Row]] = {}
    if "requests" in parts:
        found["requests"] = list(_requests(options))
    if "downloads" in parts:
        found["downloads"] = list(_downloads(options.megabytes))
    content: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.api", *sys.argv[1:]]),
        "machine": {**machine(), "cores": os.cpu_count(), "load_before": round(load, 1)},
        **found,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-api.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written to {path}")


def _requests(options: argparse.Namespace) -> Iterator[Row]:
    """Cleave first, then each form of MLflow; the machine serves one of them at a time."""
    with cleave(options.models) as peer:
        yield from measure(peer, options.seconds)
    if options.mlflow is not None:
        for workers in (None, 1):
            with mlflow(options.mlflow, options.models, workers) as peer:
                yield from measure(peer, options.seconds)


def measure(peer: Peer, seconds: float) -> Iterator[Row]:
    """Closed loops of several sizes, then a steady rate, for everything that is asked."""
    for asked, path in peer.paths.items():
        _hey(peer, path, ["-z", f"{seconds / 4}s", "-c", "8"])  # caches and pools are warm
        for clients in CLIENTS:
            yield _told(
                peer.name,
                asked,
                f"{clients} clients",
                _hey(peer, path, ["-z", f"{seconds}s", "-c", str(clients)]),
            )
        steady = ["-z", f"{seconds}s", "-c", str(_STEADY_CLIENTS), "-q", str(STEADY_RATE // _STEADY_CLIENTS)]
        yield _told(peer.name, asked, f"{STEADY_RATE}/s", _hey(peer, path, steady))


def _told(name: str, asked: str, how: str, figures: Row) -> Row:
    row = {"server": name, "asked": asked, "load": how, **figures}
    print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    return row


def _hey(peer: Peer, path: str, options: list[str]) -> Row:
    """What `hey` saw. Raises RuntimeError if an answer was not 200."""
    headers = [part for name, value in peer.headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["hey", "-o", "csv", "-t", "60", *options, *headers, peer.url + path]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.monotonic() - start
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if not rows or any(row["status-code"] != "200" for row in rows):
        raise RuntimeError(
            f"{peer.name} {path}: {[row['status-code'] for row in rows if row['status-code'] != '200'][:3]}"
        )
    times = sorted(float(row["response-time"]) for row in rows)
    at = {
        f"p{share}_ms": round(1000 * times[min(len(times) - 1, len(times) * share // 100)], 1)
        for share in (50, 99)
    }
    return {"requests_per_s": round(len(times) / wall, 1), **at}


@contextmanager
def cleave(models: int) -> Iterator[Peer]:
    """The API in one process over a PostgreSQL database with `models` models of ten modules each."""
    with ExitStack() as stack:
        service = _live(stack, database_url=stack.enter_context(postgres_url()))
        modules = _fill(service, models)
        paths = {"get": f"/v1/modules/{modules[len(modules) // 2]}", "list of 50": "/v1/modules?limit=50"}
        yield Peer("cleave", service.url, paths, {"Authorization": f"Bearer {service.api_key}"})


def _live(stack: ExitStack, **values: object) -> LiveService:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cleave-benchmark-")))
    return stack.enter_context(served(settings_for(folder, **values)))


def _fill(service: LiveService, models: int) -> list[str]:
    """As finished jobs would; the ids of the modules."""
    registry = Registry(service.database, service.settings, default_tenant(service.database))
    classes = [f"class {number}" for number in range(_VERSIONS)]
    return [
        module_id
        for _ in range(models)
        for module_id in registry.extract(registry.train(classes=classes), dict.fromkeys(classes, 0.9))
    ]


@contextmanager
def mlflow(command: Path, models: int, workers: int | None) -> Iterator[Peer]:
    """MLflow's tracking server and registry; `workers` None = as it comes."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cleave-benchmark-"))
        database = stack.enter_context(postgres_url()).replace("+psycopg", "")
        port = _free_port()
        arguments = [str(command), "server", "--host", "127.0.0.1", "--port", str(port)]
        arguments += ["--backend-store-uri", database, "--artifacts-destination", folder]
        arguments += [] if workers is None else ["--workers", str(workers)]
        _process(stack, arguments)
        url = f"http://127.0.0.1:{port}"
        _until_answered(f"{url}/health")
        with httpx.Client(base_url=f"{url}/api/2.0/mlflow", timeout=60) as client:
            for model in range(models):
                client.post("/registered-models/create", json={"name": f"model {model}"}).raise_for_status()
                for version in range(_VERSIONS):
                    body = {"name": f"model {model}", "source": f"s3://bucket/{model}/{version}"}
                    client.post("/model-versions/create", json=body).raise_for_status()
        api = "/api/2.0/mlflow"
        paths = {
            "get": f"{api}/model-versions/get?name=model%20{models // 2}&version=5",
            "list of 50": f"{api}/model-versions/search?max_results=50",
        }
        yield Peer("mlflow" if workers is None else f"mlflow, {workers} worker", url, paths)


def _downloads(megabytes: int) -> Iterator[Row]:
    """Whole files, one and eight clients, from either server in turn."""
    with ExitStack() as stack:
        service = _live(stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cleave-benchmark-")))
        artifact_id, blob = service.publish(os.urandom(megabytes << 20), folder)
        shutil.copyfile(open_store(service.settings).path(blob.sha256), folder / "file")
        peers = [
            Peer("nginx", _nginx(stack, folder), {"file": "/file"}),
            Peer("cleave", service.url, {"file": f"/v1/artifacts/{artifact_id}/content"},
                 {"Authorization": f"Bearer {service.api_key}"}),
        ]  # fmt: skip
        for clients in (1, 8):
            for peer in peers:
                figures = _hey(peer, peer.paths["file"], ["-n", str(8 * clients), "-c", str(clients)])
                rate = round(figures["requests_per_s"] * megabytes)
                yield _told(
                    peer.name, f"{megabytes} MB", f"{clients} clients", {**figures, "megabytes_per_s": rate}
                )


def _nginx(stack: ExitStack, folder: Path) -> str:
    """As packaged: sendfile on, one process for each core."""
    port = _free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"worker_processes auto; daemon off; pid {folder}/pid; error_log {folder}/errors;\n"
        f"events {{}}\n"
        f"http {{ sendfile on; tcp_nopush on; access_log off; client_body_temp_path {folder}/body;\n"
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    folder.chmod(0o755)
    _process(stack, ["nginx", "-c", str(configuration), "-e", str(folder / "errors")])
    _until_answered(f"http://127.0.0.1:{port}/file", method="HEAD")
    return f"http://127.0.0.1:{port}"


def _process(stack: ExitStack, command: list[str]) -> None:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _until_answered(url: str, method: str = "GET") -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            httpx.request(method, url, timeout=5).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"{url} does not answer")


if __name__ == "__main__":
    main()
