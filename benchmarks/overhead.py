"""What the job engine costs: `python -m benchmarks.overhead [--part latency] [--mode embedded]`.

- latency: seconds from POST to the runner's first report, seen by a client, jobs one after another; goals for
  compose and evaluate: p95 below 1 s embedded, below 0.3 s with PostgreSQL and Redis
- queue: what one dispatch costs with 100, 1,000 and 10,000 jobs waiting; goal: the same
- writers: eight processes on one SQLite file; goal: nothing lost, no "database is locked"; the longest
  transaction is told apart: waiting for the lock, which others get first, and holding it
- idle: processor and memory of a service that has nothing to do

Mode `servers` needs PostgreSQL and Redis on 127.0.0.1. Written to benchmarks/results as dated JSON with the
machine and its load.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import idle, latency, queue_depth, writers
from benchmarks.cut import RESULTS, machine
from benchmarks.installation import MODES, Mode, fresh_settings, running
from tests.fixtures.database import migrated

PARTS = ("latency", "queue", "writers", "idle")
VERSIONS = ("celery", "kombu", "sqlalchemy", "psycopg", "redis")
PROCESSES = 8
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--part", choices=PARTS, action="append", help="default: each")
    parser.add_argument("--mode", choices=MODES, action="append", help="default: both")
    parser.add_argument("--jobs", type=int, default=20, help="of each kind, for latency")
    parser.add_argument("--depth", type=int, action="append", help="default: 100, 1000 and 10000")
    parser.add_argument("--writer-jobs", type=int, default=50, help="of each of the eight processes")
    parser.add_argument("--seconds", type=float, default=30.0, help="for idle")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found: dict[str, list[Row]] = {part: [] for part in options.part or PARTS}
    for part, rows in found.items():
        for mode in options.mode or MODES:
            for row in measure(part, mode, options):
                rows.append({"mode": mode} | row)
                print(part, mode, " ".join(f"{k}={v}" for k, v in row.items()), flush=True)
    content: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.overhead", *sys.argv[1:]]),
        "machine": {**machine(), "cores": os.cpu_count(), "load_before": round(load, 1)},
        "versions": {name: version(name) for name in VERSIONS},
        **found,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-overhead.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written to {path}")


def measure(part: str, mode: Mode, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of one part in one mode."""
    if part == "queue":
        for depth in options.depth or [100, 1000, 10000]:
            yield queue_depth.measure(mode, depth)
    elif part == "writers" and mode == "embedded":
        with fresh_settings(mode) as settings, migrated(settings):
            yield writers.contend(settings, PROCESSES, options.writer_jobs)
    elif part in {"latency", "idle"}:
        with running(mode) as service:
            if part == "latency":
                yield from latency.measure(service, options.jobs)
            else:
                yield idle.measure(service, options.seconds)


if __name__ == "__main__":
    main()
