"""Examples for the API's document."""

import json
from typing import Any

from service.platform.openapi import DIGEST_EXAMPLE

JOB_ID = "job_019b3c5e6f117c5a9d3e4b2a1c0f8e7d"
_BASE = f"/v1/jobs/{JOB_ID}"

JOB: dict[str, Any] = {
    "id": JOB_ID,
    "kind": "train",
    "state": "running",
    "paused": False,
    "progress": {
        "phase": "train",
        "step": 80,
        "total": 200,
        "percent": 40.0,
        "eta_seconds": 24.5,
        "epoch": 4,
        "epochs": 10,
    },
    "spec": {"kind": "train", "architecture": "small_cnn", "dataset": "digits", "epochs": 10},
    "spec_sha256": DIGEST_EXAMPLE,
    "priority": 50,
    "metadata": {"team": "vision"},
    "attempt": 1,
    "error": None,
    "result": None,
    "created_at": "2026-01-15T10:03:01.000Z",
    "queued_at": "2026-01-15T10:03:01.000Z",
    "started_at": "2026-01-15T10:03:02.250Z",
    "finished_at": None,
    "expires_at": None,
    "links": {"self": _BASE, "events_stream": f"{_BASE}/events/stream", "cancel": f"{_BASE}/cancel"},
}
ATTEMPT: dict[str, Any] = {
    "attempt": 1,
    "worker_id": "wrk_019b3c5e6f2a7d10a1b2c3d4e5f60718",
    "resumed_from": None,
    "outcome": "lost",
    "cause": "infra",
    "exit_code": -9,
    "message": "The runner was killed by signal 9.",
    "started_at": "2026-01-15T10:03:02.250Z",
    "finished_at": "2026-01-15T10:03:31.100Z",
}
JOB_DETAIL: dict[str, Any] = {**JOB, "attempts": [ATTEMPT]}
EVENT: dict[str, Any] = {
    "seq": 7,
    "type": "job.progress",
    "ts": "2026-01-15T10:03:20.500Z",
    "job_id": JOB_ID,
    "data": {"phase": "train", "step": 80, "total": 200, "percent": 40.0},
}
EVENT_STREAM = f"retry: 3000\n\nid: 7\nevent: job.progress\ndata: {json.dumps(EVENT)}\n\n"
CURVE_POINT: dict[str, Any] = {
    "name": "accuracy",
    "value": 0.943,
    "split": "validation",
    "class_name": None,
    "epoch": 4,
}
CHECKPOINT: dict[str, Any] = {
    "path": "step-000080",
    "sha256": DIGEST_EXAMPLE,
    "attempt": 1,
    "epoch": 4,
    "step": 80,
    "best": False,
    "metrics": {"loss": 0.21},
    "created_at": "2026-01-15T10:03:20.400Z",
}
WORKERS: dict[str, Any] = {"queue": "train", "device": "gpu", "idle": 1, "busy": 3, "draining": 0}
LOG_LINE: dict[str, Any] = {
    "seq": 7,
    "ts": "2026-01-15T10:03:09.120Z",
    "level": "warning",
    "message": "The loss has grown; a smaller learning_rate may help.",
}
_TICKET = "Y1X0mHh0cQm8w4rA3r6j5w9v2s7k1d8f0g3h6j9l2z4"
TICKET: dict[str, Any] = {
    "ticket": _TICKET,
    "url": f"/v1/events/stream?ticket={_TICKET}",
    "expires_at": "2026-01-15T10:04:01.000Z",
}
