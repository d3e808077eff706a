"""From a request to its runner's first word, as a client sees it."""

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.installation import Running
from service.client import CleaveClient
from tests.fixtures.waiting import eventually

TRAIN = {
    "kind": "train",
    "architecture": "small_cnn",
    "dataset": "digits",
    "approach": {"name": "nemo"},
    "epochs": 1,
    "batch_size": 64,
    "max_train_samples": 128,
}
DIGITS = [str(digit) for digit in range(10)]
Row = dict[str, Any]


def measure(service: Running, jobs: int) -> list[Row]:
    """One row per kind: seconds from POST to claimed, to the runner's first report, and to the end."""
    client = service.client
    eventually(lambda: _workers_there(client))
    rows = [_row("train", [_times(client, TRAIN) for _ in range(jobs)])]
    model = client.models.list().data[0].id
    client.jobs.wait(_submit(client, {"kind": "extract", "model_id": model, "formats": ["safetensors"]}))
    for kind, specs in (("compose", _compositions(model)), ("evaluate", _evaluations(model))):
        rows.append(_row(kind, [_times(client, spec) for spec in itertools.islice(specs, jobs)]))
    return rows


def _workers_there(client: CleaveClient) -> bool:
    """A training has been through: every process is up and has loaded what it loads once."""
    return client.jobs.wait(_submit(client, TRAIN)).state == "succeeded"


def _compositions(model: str) -> Iterator[Row]:
    """Each asks for other classes: an identical request would find the composition there."""
    for size in (2, 3, 4):
        for classes in itertools.combinations(DIGITS, size):
            yield {"kind": "compose", "model_id": model, "classes": classes, "formats": ["safetensors"]}


def _evaluations(model: str) -> Iterator[Row]:
    while True:
        yield {"kind": "evaluate", "target_id": model, "split": "validation"}


def _submit(client: CleaveClient, spec: Mapping[str, Any]) -> str:
    return client.jobs.create(spec).id


def _times(client: CleaveClient, spec: Mapping[str, Any]) -> dict[str, float]:
    """Seconds from before the POST until the client has read each event."""
    start = time.perf_counter()
    seen: dict[str, float] = {}
    for event in client.jobs.stream(_submit(client, spec)):
        name = {"job.progress": "started", "job.done": "ended"}.get(event.type)
        if event.type == "job.state" and event.data["state"] == "running":
            name = "claimed"
        if name is not None:
            seen.setdefault(name, time.perf_counter() - start)
        if event.type == "job.done" and event.data["state"] != "succeeded":
            raise RuntimeError(f"a measured job ended otherwise: {event.data}")
    return seen


def _row(kind: str, times: list[dict[str, float]]) -> Row:
    row: Row = {"kind": kind, "jobs": len(times)}
    for name in ("claimed", "started", "ended"):
        ordered = sorted(t[name] for t in times)
        row[f"{name}_p50_s"] = round(_quantile(ordered, 0.50), 3)
        row[f"{name}_p95_s"] = round(_quantile(ordered, 0.95), 3)
    return row


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[max(0, -(-len(ordered) * round(100 * share) // 100) - 1)]
