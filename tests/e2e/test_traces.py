"""One trace leads from the request through dispatcher and worker to the runner, also where a job fails."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Up, stopped_afterwards
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.spans import Seen, spans_at
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
TRAIN: dict[str, Any] = {
    "kind": "train",
    "architecture": "small_cnn",
    "dataset": "digits",
    "approach": {"name": "nemo"},
    "epochs": 1,
    "batch_size": 32,
    "max_train_samples": 64,
}
CALLER = "00f067aa0ba902b7"
PHASES = ("load", "train", "statistics", "evaluate", "save")


@dataclass
class Traced:
    """A running service and what its collector has."""

    up: Up
    client: httpx.Client
    collector: Receiver
    requests: int = 0

    def submit(self, job: dict[str, Any]) -> tuple[str, str]:
        """The ids of the job and of the caller's trace."""
        self.requests += 1
        trace_id = f"{self.requests:032x}"
        answer = self.client.post(
            "/v1/jobs",
            json=job,
            headers={"traceparent": f"00-{trace_id}-{CALLER}-01", "X-Request-ID": f"ask-{self.requests}"},
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"]), trace_id

    def ended(self, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}").json()
            return job if job["state"] in {"succeeded", "failed"} else None

        return eventually(look, 180) or {}

    def tree(self, trace_id: str, *awaited: str) -> dict[str, tuple[str, str, str | None]]:
        """Span -> process, parent and failure, once those awaited are there."""

        def look() -> list[Seen]:
            found = [span for span in spans_at(self.collector) if span.trace_id == trace_id]
            return found if set(awaited) <= set(named(found).values()) else []

        spans = eventually(look, 20)
        names = named(spans) | {CALLER: "caller"}
        return {
            names[span.span_id]: (
                span.service.removeprefix("cleave-"),
                names.get(span.parent_id, "lost"),
                span.failed,
            )
            for span in spans
        }

    def lines(self) -> list[dict[str, Any]]:
        logs = sorted((self.up.home / "logs").glob("*.log"))
        return [
            {"process": log.stem, **json.loads(line)} for log in logs for line in log.read_text().splitlines()
        ]


def named(spans: list[Seen]) -> dict[str, str]:
    """Ids to names; attempts and runs carry their number, so that each has one of its own."""
    return {
        span.span_id: f"{span.name} {span.attributes['cleave.attempt']}"
        if "cleave.attempt" in span.attributes
        else span.name
        for span in spans
    }


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with receiving() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/hook"))
        values = {"otel": True, "log_format": "json"}
        with stopped_afterwards(Up(tmp_path_factory.mktemp("traced") / "home", values=values)) as up:
            yield Traced(up, up.start(), collector)


def test_a_job_that_succeeds_and_its_lines(traced: Traced) -> None:
    job_id, trace_id = traced.submit(TRAIN)
    assert traced.ended(job_id)["state"] == "succeeded"
    tree = traced.tree(trace_id, "attempt train 1", "run train 1")
    assert tree == {
        "POST /v1/jobs": ("api", "caller", None),
        "publish train": ("dispatcher", "POST /v1/jobs", None),
        "attempt train 1": ("worker", "POST /v1/jobs", None),
        "run train 1": ("runner", "attempt train 1", None),
        **dict.fromkeys(PHASES, ("runner", "run train 1", None)),
    }
    lines = [line for line in traced.lines() if line.get("trace_id") == trace_id]
    assert {line["process"] for line in lines} == {"api", "dispatcher", "worker-train"}
    assert {line["request_id"] for line in lines} == {f"ask-{traced.requests}"}
    of_the_job = [line for line in traced.lines() if line.get("job_id") == job_id]
    assert {line["trace_id"] for line in of_the_job} == {trace_id}


def test_a_job_that_fails(traced: Traced) -> None:
    job_id, trace_id = traced.submit({**TRAIN, "device": "cuda"})
    assert traced.ended(job_id)["error"]["code"] == "device_unavailable"
    tree = traced.tree(trace_id, "attempt train 1", "run train 1")
    assert tree["attempt train 1"] == ("worker", "POST /v1/jobs", "device_unavailable")
    assert tree["run train 1"] == ("runner", "attempt train 1", "device_unavailable")


def test_what_a_killed_runner_did_is_followed_by_the_next_attempt(traced: Traced) -> None:
    job_id, trace_id = traced.submit({**TRAIN, "epochs": 12, "checkpoint_interval_s": 0})
    eventually(lambda: traced.client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"], 120)
    os.kill(traced.up.runners()[0], signal.SIGKILL)
    assert traced.ended(job_id)["state"] == "succeeded"
    tree = traced.tree(trace_id, "attempt train 2", "run train 2")
    assert tree["attempt train 1"] == ("worker", "POST /v1/jobs", "crashed")
    assert tree["attempt train 2"] == ("worker", "POST /v1/jobs", None)
    assert tree["run train 2"] == ("runner", "attempt train 2", None)
