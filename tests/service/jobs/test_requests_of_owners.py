"""What its owner asks of a job over HTTP: to end, to wait, to begin anew."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from core.reports import CheckpointReport
from core.results import MetricValue
from service.jobs.endings import Stopped, settle
from service.jobs.recording import Notes, record
from service.platform.database import Database
from service.platform.settings import Settings
from service.tenants.service import limit_tenant
from service.tenants.tables import Tenant
from tests.fixtures.client import Account, Api
from tests.fixtures.database import waits_for_a_lock
from tests.fixtures.jobs import claimed, read_job
from tests.fixtures.waiting import eventually
from tests.service.jobs.test_endpoints import TRAIN, end, submit


@pytest.fixture
def database(api: Api) -> Database:
    """The API's own."""
    return api.database


@pytest.fixture
def settings(api: Api) -> Settings:
    """The API's own."""
    return api.settings


def test_cancel_waiting_running_twice_and_too_late(account: Account, database: Database) -> None:
    waiting = submit(account)
    answer = account.http.post(f"/v1/jobs/{waiting}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    late = account.http.post(f"/v1/jobs/{waiting}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "already_terminal")
    running = submit(account)
    claimed(database, running)
    answers = [account.http.post(f"/v1/jobs/{running}/cancel") for _ in range(2)]
    assert [(a.status_code, a.json()["state"]) for a in answers] == [
        (202, "cancelling"),
        (200, "cancelling"),
    ]


def test_cancelling_while_a_worker_hands_the_job_back_is_not_refused(
    account: Account, database: Database, settings: Settings
) -> None:
    job_id = submit(account)
    claim = claimed(database, job_id)

    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            settle(session, claim.lease, Stopped("drain"), settings)
            asked = pool.submit(account.http.post, f"/v1/jobs/{job_id}/cancel")
            if database.engine.dialect.name == "postgresql":
                eventually(lambda: waits_for_a_lock(database))
        answer = asked.result()
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")


def test_pause_and_resume_once_twice_and_too_late(account: Account, database: Database) -> None:
    job_id = submit(account)

    def post(verb: str) -> tuple[int, str, bool]:
        answer = account.http.post(f"/v1/jobs/{job_id}/{verb}")
        return answer.status_code, answer.json()["state"], answer.json()["paused"]

    assert post("resume") == (200, "queued", False)
    assert [post("pause"), post("pause")] == [(202, "pending", True), (200, "pending", True)]
    assert [post("resume"), post("resume")] == [(202, "queued", False), (200, "queued", False)]
    claimed(database, job_id)
    assert [post("pause"), post("pause")] == [(202, "running", True), (200, "running", True)]
    account.http.post(f"/v1/jobs/{job_id}/cancel")
    refused = account.http.post(f"/v1/jobs/{job_id}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    over = submit(account)
    account.http.post(f"/v1/jobs/{over}/cancel")
    for verb in ("pause", "resume"):
        late = account.http.post(f"/v1/jobs/{over}/{verb}")
        assert (late.status_code, late.json()["code"]) == (409, "already_terminal")


def test_one_more_than_may_wait_is_refused_until_one_starts(account: Account, database: Database) -> None:
    with database.write() as session:
        (name,) = session.scalars(select(Tenant.name).where(Tenant.id == account.tenant_id))
        limit_tenant(session, name, {"max_queued": 1})
    job_id, key = submit(account), {"Idempotency-Key": "once"}
    refused = account.http.post("/v1/jobs", json=TRAIN, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
    assert refused.json()["retryable"] is True
    assert refused.headers["retry-after"] == "30"
    claimed(database, job_id)
    assert account.http.post("/v1/jobs", json=TRAIN, headers=key).status_code == 202


def test_retry_of_a_training_goes_on_from_its_checkpoints(
    account: Account, database: Database, settings: Settings
) -> None:
    job_id = submit(account)
    claim = claimed(database, job_id)
    folder = settings.checkpoint_root / job_id
    folder.mkdir(parents=True)
    (folder / "second").write_bytes(b"state")
    digest = read_job(database, job_id).spec_sha256
    points = [
        CheckpointReport(path=name, sha256="0" * 64, spec_sha256=digest, epoch=epoch, step=0, metrics={})
        for epoch, name in ((1, "first"), (2, "second"))
    ]
    figures = [MetricValue(name="loss", value=0.1, split="train", epoch=e) for e in (1, 2, 3)]
    with database.write() as session:
        record(session, claim.lease, 1, Notes(checkpoints=points, metrics=figures))
    end(database, claim, settings)

    heir = account.http.post(f"/v1/jobs/{job_id}/retry").json()["id"]

    rows = account.http.get(f"/v1/jobs/{heir}/checkpoints").json()["data"]
    assert [(row["path"], row["attempt"]) for row in rows] == [("second", 0)]
    shutil.rmtree(folder)
    assert (settings.checkpoint_root / heir / "second").read_bytes() == b"state"
    curve = account.http.get(f"/v1/jobs/{heir}/metrics").json()["data"]
    assert [point["epoch"] for point in curve] == [1, 2]


def test_retry_is_a_new_job_with_the_same_spec(account: Account) -> None:
    job_id = submit(account)
    assert account.http.post(f"/v1/jobs/{job_id}/retry").status_code == 409
    account.http.post(f"/v1/jobs/{job_id}/cancel")
    answer = account.http.post(f"/v1/jobs/{job_id}/retry")
    assert answer.status_code == 202
    assert answer.json()["id"] != job_id
    assert answer.json()["spec_sha256"] == account.http.get(f"/v1/jobs/{job_id}").json()["spec_sha256"]


def test_all_who_retry_a_job_get_the_same_one_until_it_has_ended(account: Account) -> None:
    job_id = submit(account)
    account.http.post(f"/v1/jobs/{job_id}/cancel")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: account.http.post(f"/v1/jobs/{job_id}/retry"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    (heir,) = {answer.json()["id"] for answer in answers}
    keyed = account.http.post(f"/v1/jobs/{job_id}/retry", headers={"Idempotency-Key": "mine"})
    assert keyed.json()["id"] == heir
    assert len(account.http.get("/v1/jobs").json()["data"]) == 2
    account.http.post(f"/v1/jobs/{heir}/cancel")
    assert account.http.post(f"/v1/jobs/{job_id}/retry").json()["id"] not in (job_id, heir)
