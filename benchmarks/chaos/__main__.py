"""Kill real processes at random and see that every promise holds.

`python -m benchmarks.chaos --kills 200 --jobs 50 --backend servers`

Starts API, dispatcher and workers over a data folder of its own (embedded: SQLite and a folder as broker;
servers: a PostgreSQL and a Redis of its own), lets families of a training, an extraction and a composition
run without a fault, then the same under fire, and compares; then cancels trainings and, embedded, kills
`cleave up` as a whole. Ends with 1 when a promise is broken. Some faults
need root (a small disk) or libfaketime (a clock that jumps, for the servers); what could not be done is said.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chaos.campaign import Campaign, Plan, campaign, ended
from benchmarks.chaos.work import RECIPES
from benchmarks.cut import RESULTS, machine
from service.platform.version import service_version


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description="Kill, and see what holds."
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--backend", choices=("embedded", "servers"), default="embedded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12, help="of each training")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two faults, on average")
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds until it counts as hung")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the figures")
    parser.add_argument("--cancels", type=int, default=4, help="trainings to cancel after the fire")
    parser.add_argument("--up-kills", type=int, default=3, help="kills of `cleave up`, embedded")
    options = parser.parse_args(arguments)
    plan = Plan(
        options.backend, options.kills, options.jobs, options.seed, options.epochs, options.pause,
        options.patience, tuple(options.recipes), options.cancels, options.up_kills,
    )  # fmt: skip
    # Whoever ends this process early must find nothing of it afterwards: no server, no mount.
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="cleave-chaos-") as folder:
        Path(folder).chmod(0o755)  # the database runs as a user of its own
        with campaign(plan, Path(folder)) as run:
            report = _report(run)
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-chaos-{plan.backend}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    _print(report)
    return 1 if report["broken_promises"] else 0


def _end(*_: object) -> None:
    ended.set()
    sys.exit(128 + signal.SIGTERM)


def _report(run: Campaign) -> dict[str, Any]:
    try:
        outcome = run.run()
    except TimeoutError as error:
        outcome = {"broken_promises": [str(error)]}
    left_out = {"restart database", "fill disk", "clock jump"} - set(run.arsenal.names())
    return {
        "command": _command(run.plan),
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": {**machine(), "cleave": service_version(), "load_15_min": os.getloadavg()[2]},
        "seed": run.plan.seed,
        "faults": _table(run),
        "not_possible_here": sorted(left_out),
        **outcome,
    }


def _command(plan: Plan) -> str:
    chosen = f"--backend {plan.backend} --kills {plan.kills} --jobs {plan.jobs} --seed {plan.seed}"
    how = f"--epochs {plan.epochs} --pause {plan.pause_s:g} --recipes {' '.join(plan.recipes)}"
    return f"python -m benchmarks.chaos {chosen} {how}"


def _table(run: Campaign) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for name in sorted({blow.name for blow in run.blows}):
        blows = [blow for blow in run.blows if blow.name == name]
        seconds = [blow.recovered_s for blow in blows if blow.recovered_s is not None]
        rows[name] = {
            "times": len(blows),
            "jobs_hit": sum(len(blow.hit) for blow in blows),
            "recovered_s_median": round(median(seconds), 2) if seconds else None,
            "recovered_s_max": round(max(seconds), 2) if seconds else None,
        }
    return rows


def _print(report: dict[str, Any]) -> None:
    print(f"{'fault':22} {'times':>5} {'jobs hit':>8} {'recovered: median':>18} {'max (s)':>8}")
    for name, row in report["faults"].items():
        times = f"{row['times']:5} {row['jobs_hit']:8}"
        print(f"{name:22} {times} {row['recovered_s_median']!s:>18} {row['recovered_s_max']!s:>8}")
    if report["not_possible_here"]:
        print(f"not possible here: {', '.join(report['not_possible_here'])}")
    for promise in report["broken_promises"]:
        print(f"BROKEN {promise}")
    print(f"{report.get('jobs', '?')} jobs, {len(report['broken_promises'])} broken promises")


if __name__ == "__main__":
    raise SystemExit(main())
