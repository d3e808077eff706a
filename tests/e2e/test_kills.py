"""kill -9 of any process: the accepted job ends once, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Up
from tests.fixtures.waiting import children_of, command_of, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
TRAIN: dict[str, Any] = {
    "kind": "train",
    "architecture": "small_cnn",
    "dataset": "digits",
    "approach": {"name": "nemo"},
    "epochs": 40,
    "batch_size": 32,
    "max_train_samples": 128,
    "checkpoint_interval_s": 0,
}


def submit(client: httpx.Client, **values: Any) -> str:
    answer = client.post("/v1/jobs", json={**TRAIN, **values})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def read(client: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return job


def checkpoints(client: httpx.Client, job_id: str, attempt: int) -> list[dict[str, Any]]:
    points = client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    return [point for point in points if point["attempt"] == attempt]


def test_a_training_survives_the_kill_of_its_runner_and_of_everything(up: Up) -> None:
    client = up.start()
    job_id = submit(client)
    eventually(lambda: checkpoints(client, job_id, 1), 120)
    os.kill(up.runners()[0], signal.SIGKILL)

    eventually(lambda: checkpoints(client, job_id, 2), 120)
    family = children_of(up.process.pid)
    up.process.kill()
    up.process.wait()
    eventually(lambda: all(command_of(pid) == "" for pid in family), 10)
    assert up.leftovers() == []

    client = up.start()
    job = eventually(lambda: (j := read(client, job_id))["state"] == "succeeded" and j, 180)
    assert [a["outcome"] for a in job["attempts"]] == ["lost", "lost", "succeeded"]
    assert job["attempts"][0]["exit_code"] == -signal.SIGKILL
    assert all(a["resumed_from"] for a in job["attempts"][1:])
    models = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == [job["result"]["model_id"]]
    curve = client.get(f"/v1/jobs/{job_id}/metrics?name=loss&limit=200").json()["data"]
    drawn = sorted((point["epoch"], point["split"]) for point in curve)
    assert drawn == [(epoch, split) for epoch in range(1, 41) for split in ("train", "validation")]


def test_ctrl_c_checkpoints_the_job_and_leaves_no_process(up: Up) -> None:
    client = up.start()
    second = [sys.executable, "-m", "service.cli", "up", "--port", "0", "--data-dir", str(up.home)]
    refused = subprocess.run(second, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "already_running" in refused.stdout + refused.stderr
    port = str(client.base_url.port)
    elsewhere = [*second[:-3], port, "--data-dir", str(up.home.parent / "other")]
    refused = subprocess.run(elsewhere, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "port_in_use" in refused.stdout + refused.stderr

    job_id = submit(client, epochs=2000)
    eventually(lambda: checkpoints(client, job_id, 1), 120)

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    assert up.leftovers() == []

    client = up.start()
    job = eventually(lambda: (j := read(client, job_id))["attempt"] == 2 and j, 60)
    assert job["attempts"][0]["outcome"] == "interrupted"
    eventually(lambda: checkpoints(client, job_id, 2), 120)
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    eventually(lambda: read(client, job_id)["state"] == "cancelled", 60)


def test_a_child_that_dies_is_started_again(up: Up) -> None:
    client = up.start()
    family = {command_of(pid): pid for pid in children_of(up.process.pid)}
    for name in ("service.server", "service.dispatcher", "--queue train"):
        os.kill(next(pid for command, pid in family.items() if name in command), signal.SIGKILL)
    eventually(lambda: client.get("/livez").status_code == 200)

    def is_new(name: str) -> bool:
        found = [pid for pid in children_of(up.process.pid) if pid not in family.values()]
        return any(name in command_of(pid) for pid in found)

    for name in ("service.server", "service.dispatcher", "--queue train"):
        eventually(partial(is_new, name))
