"""What the service costs while it has nothing to do."""

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.installation import Running
from tests.fixtures.waiting import children_of, command_of

SETTLE_S = 20.0
ROLES = {
    "service.server": "api",
    "service.dispatcher": "dispatcher",
    "--queue train": "worker-train",
    "--queue short": "worker-short",
    "worker.runner": "runners",
}


def measure(service: Running, seconds: float) -> dict[str, Any]:
    """Percent of one core, and MiB of memory (proportional set size), per kind of process."""
    time.sleep(SETTLE_S)
    pids = [service.pid, *children_of(service.pid)]
    before, began = {pid: _cpu_s(pid) for pid in pids}, time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - began
    row: dict[str, Any] = {}
    for pid in pids:
        role = next((role for text, role in ROLES.items() if text in command_of(pid)), "up")
        share = 100 * (_cpu_s(pid) - before[pid]) / lasted
        row[f"{role}_cpu_percent"] = round(row.get(f"{role}_cpu_percent", 0.0) + share, 2)
        row[f"{role}_mib"] = round(row.get(f"{role}_mib", 0.0) + _pss_mib(pid))
    return row


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) / 1024
