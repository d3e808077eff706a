"""How long the registry's searches take among many modules: `python -m benchmarks.registry`.

Fills a PostgreSQL database with a million modules (`--modules`), serves the API from a process of its own
and asks it over HTTP, one request after the other, each kind with changing values; milliseconds as the client
sees them. Goal: p95 below 50 ms for every kind. Written to benchmarks/results as dated JSON.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.cut import RESULTS, machine
from benchmarks.registry_fill import DATASETS, fill
from service.platform.settings import Settings, environment_of
from service.tenants.keys import create_key
from service.tenants.service import ensure_tenant
from tests.fixtures.database import migrated, postgres_url, settings_for

Row = dict[str, Any]
_draw = random.Random(0)


def _known() -> str:
    return f"class {int(DATASETS * _draw.random() ** 3)}-{_draw.randint(1, 9)}"


def _tag() -> str:
    return f"tag{_draw.randint(0, 99)}"


def _since() -> str:
    return datetime.fromtimestamp(1.7e9 + _draw.random() * 1e4, tz=UTC).isoformat()


KINDS: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "classes: cat, f1, size": lambda: (
        "classes",
        {"name": "cat", "min_f1": round(_draw.uniform(0.85, 0.95), 3), "max_params": 200_000},
    ),
    "classes: cat, f1, tiny": lambda: (
        "classes",
        {"name": "cat", "min_f1": round(_draw.uniform(0.7, 0.9), 3), "max_params": 5_010},
    ),
    "classes: any, f1, size": lambda: ("classes", {"name": _known(), "min_f1": 0.9, "max_params": 200_000}),
    "classes: cat, test f1": lambda: ("classes", {"name": "cat", "min_f1": 0.99, "split": "test"}),
    "modules: newest": lambda: ("modules", {}),
    "modules: class, best": lambda: ("modules", {"class": _known(), "sort": "-f1"}),
    "modules: cat, f1, smallest": lambda: (
        "modules",
        {"class": "cat", "min_f1": round(_draw.uniform(0.9, 0.97), 3), "sort": "parameters"},
    ),
    "modules: approach, form, best": lambda: (
        "modules",
        {"approach": "moda", "form": "gated", "sort": "-f1"},
    ),
    "modules: dataset, f1, newest": lambda: (
        "modules",
        {"dataset": f"data{_draw.randint(1, DATASETS - 1)}", "min_f1": 0.95},
    ),
    "modules: since, best": lambda: ("modules", {"created_at[gte]": _since(), "sort": "-f1"}),
    "modules: f1, size, newest": lambda: ("modules", {"min_f1": 0.99, "parameters[lte]": 5_100}),
    "modules: dataset, newest": lambda: ("modules", {"dataset": f"data{_draw.randint(1, DATASETS - 1)}"}),
    "modules: all of the model, best": lambda: (
        "modules",
        {"architecture": "vgg16", "approach": "moda", "recipe": "cleave", "form": "static", "sort": "-f1"},
    ),
    "modules: nothing": lambda: ("modules", {"min_f1": 0.999, "parameters[lte]": 5_001, "sort": "-f1"}),
    "modules: class, test best": lambda: ("modules", {"class": _known(), "sort": "-f1", "split": "test"}),
    "modules: cat, since, form, largest": lambda: (
        "modules",
        {"class": "cat", "created_at[gte]": _since(), "form": "gated", "sort": "-parameters"},
    ),
    "modules: class, dataset, f1, newest": lambda: (
        "modules",
        {"class": "cat", "dataset": "cifar10", "min_f1": round(_draw.uniform(0.9, 0.999), 3)},
    ),
    "modules: tag, best": lambda: ("modules", {"tag": _tag(), "sort": "-f1"}),
    "modules: tag, test f1, smallest": lambda: (
        "modules",
        {"tag": _tag(), "min_f1": 0.95, "split": "test", "sort": "parameters"},
    ),
    "modules: tag, cat, best": lambda: ("modules", {"tag": _tag(), "class": "cat", "sort": "-f1"}),
    "modules: tag, approach, newest": lambda: ("modules", {"tag": _tag(), "approach": "mwt"}),
    "models: class, best": lambda: ("models", {"class": _known(), "sort": "-accuracy"}),
    "models: class, accuracy, smallest": lambda: (
        "models",
        {"class": _known(), "min_accuracy": round(_draw.uniform(0.8, 0.99), 3), "sort": "parameters"},
    ),
    "models: dataset, best": lambda: (
        "models",
        {"dataset": f"data{_draw.randint(1, DATASETS - 1)}", "sort": "-accuracy", "split": "test"},
    ),
    "models: architecture, smallest": lambda: ("models", {"architecture": "vgg16", "sort": "parameters"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--modules", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=100, help="of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = measure(options.modules, options.requests)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-registry.json"
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    print(f"written to {path}")


def measure(modules: int, requests: int) -> list[Row]:
    """One row for each kind of search, and one for the pages of the whole list."""
    with tempfile.TemporaryDirectory() as folder, postgres_url() as url:
        settings = settings_for(Path(folder), database_url=url)
        with migrated(settings) as database, database.write() as session:
            tenants = [ensure_tenant(session, name) for name in ("own", "other")]
            key = create_key(session, settings, "own", "benchmark")
        began = time.perf_counter()
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            fill(connection, modules, *tenants)
        print(f"{modules} modules written in {time.perf_counter() - began:.0f} s", flush=True)
        with _served(settings, key) as client:
            about = {"modules": modules, "requests": requests}
            rows = [{**about, **_timed(client, name, requests)} for name in KINDS]
            rows.append({**about, **_paged(client, requests)})
    return rows


def _timed(client: httpx.Client, name: str, requests: int) -> Row:
    for _ in range(3):  # connections and the plans of the driver
        _ask(client, *KINDS[name]())
    answers = [_ask(client, *KINDS[name]()) for _ in range(requests)]
    return _told(name, [ms for ms, _ in answers], statistics.mean(len(a["data"]) for _, a in answers))


def _paged(client: httpx.Client, requests: int) -> Row:
    """From page to page by cursor, best first."""
    spans, after = [], None
    for _ in range(requests):
        ms, answer = _ask(client, "modules", {"sort": "-f1", "limit": 200, "after": after})
        spans.append(ms)
        after = answer["next_cursor"]
        if after is None:
            break
    return _told("modules: best, page after page of 200", spans, 200)


def _ask(client: httpx.Client, path: str, params: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    given = {name: value for name, value in params.items() if value is not None}
    began = time.perf_counter()
    answer = client.get(f"/v1/{path}", params=given)
    spent = (time.perf_counter() - began) * 1000
    return spent, answer.raise_for_status().json()


def _told(name: str, spans: list[float], found: float) -> Row:
    cuts = statistics.quantiles(spans, n=100, method="inclusive")
    row: Row = {"load of the machine": round(os.getloadavg()[0], 1), "search": name}
    row["mean rows"] = round(found, 1)
    row |= {f"p{cut} ms": round(cuts[cut - 1], 1) for cut in (50, 95, 99)}
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


@contextmanager
def _served(settings: Settings, key: str) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "service.server", "--fd", str(listener.fileno())],
            env=environment_of(settings), pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                yield client
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
