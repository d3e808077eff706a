"""Jobs through the client: created once, followed to the end over cut connections, refused clearly."""

import threading
from datetime import datetime

import pytest

from service.client import (
    CleaveApiError,
    CleaveClient,
    CleaveConnectionError,
    JobFailedError,
    WaitTimeoutError,
)
from service.client.schemas import Job, Model
from service.models.tables import Metric
from service.tenants.service import ensure_tenant
from tests.service.client.live import TRAIN, CuttingProxy, LiveService


def test_create_get_list(client: CleaveClient) -> None:
    job = client.jobs.create({**TRAIN, "metadata": {"team": "vision"}})
    assert (job.kind, job.state, job.finished) == ("train", "queued", False)
    assert client.jobs.get(job.id).spec["dataset"] == "digits"
    assert job.id in [found.id for found in client.jobs.list(state="queued", kind="train").data]


def test_iterating_over_a_list_goes_on_to_its_next_pages(client: CleaveClient) -> None:
    created = [client.jobs.create({**TRAIN, "priority": 7}).id for _ in range(5)]
    page = client.jobs.list(limit=2, state="queued")
    found = [job.id for job in page]
    assert len(page.data) == 2
    assert found[:5] == created[::-1]
    assert found == [job.id for job in client.jobs.list(limit=200, state="queued").data]


def test_lists_continue_after_their_cursor(client: CleaveClient) -> None:
    created = [client.jobs.create(TRAIN).id for _ in range(3)]
    first = client.jobs.list(limit=2)
    second = client.jobs.list(limit=2, after=first.next_cursor)
    assert first.has_more
    assert [job.id for job in (*first.data, *second.data)][:3] == created[::-1]


def test_the_same_idempotency_key_makes_one_job(client: CleaveClient) -> None:
    ids = {client.jobs.create(TRAIN, idempotency_key="once-only").id for _ in range(3)}
    assert len(ids) == 1


def test_wait_sees_a_cancelled_job_to_its_end(client: CleaveClient) -> None:
    job = client.jobs.create(TRAIN)
    states: list[str] = []

    def watch(now: Job) -> None:
        if not states:
            # The end comes while the stream is open, not before.
            threading.Timer(0.2, client.jobs.cancel, (job.id,)).start()
        states.append(now.state)

    done = client.jobs.wait(job.id, on_progress=watch, timeout=30)
    assert (done.state, states[0], states[-1]) == ("cancelled", "queued", "cancelled")


def test_the_stream_survives_cut_connections_and_repeats_nothing(live: LiveService) -> None:
    with (
        CuttingProxy(live.url, per_connection=700) as proxy,
        CleaveClient(proxy.url, live.api_key, timeout=10) as client,
        CleaveClient(live.url, live.api_key) as direct,
    ):
        job = direct.jobs.create(TRAIN)
        threading.Timer(0.3, direct.jobs.cancel, (job.id,)).start()
        events = list(client.jobs.stream(job.id))
        whole = direct.jobs.events(job.id)
    assert [event.seq for event in events] == list(range(1, len(whole) + 1))
    assert events[-1].type == "job.done"
    assert proxy.connections >= 2


def test_wait_gives_up_at_its_timeout_and_leaves_the_job_alone(client: CleaveClient) -> None:
    job = client.jobs.create(TRAIN)
    with pytest.raises(WaitTimeoutError, match="still queued"):
        client.jobs.wait(job.id, timeout=0.5)
    assert client.jobs.get(job.id).state == "queued"


def test_wait_with_check_raises_unless_the_job_succeeds(client: CleaveClient) -> None:
    job = client.jobs.create(TRAIN)
    assert isinstance(job.queued_at, datetime)
    client.jobs.cancel(job.id)
    assert client.jobs.wait(job.id).state == "cancelled"
    with pytest.raises(JobFailedError, match=f"{job.id} is cancelled") as caught:
        client.jobs.wait(job.id, check=True)
    assert (caught.value.code, caught.value.job.state) == ("job_failed", "cancelled")


def test_a_failure_tells_its_code_and_message() -> None:
    error = {"code": "out_of_memory", "message": "No memory left."}
    job = Job.model_validate({"id": "job_1", "kind": "train", "state": "failed", "error": error})
    assert str(JobFailedError(job)) == "job_1 has failed: [out_of_memory] No memory left."


def test_a_figure_on_the_models_own_dataset_is_found_by_it() -> None:
    figures = [
        {"name": "accuracy", "value": 0.9, "split": "test"},
        {"name": "accuracy", "value": 0.5, "split": "test", "dataset": "mnist"},
    ]
    given = {
        "id": "mdl_1",
        "architecture": "small_cnn",
        "approach": "nemo",
        "parameters": 1,
        "metrics": figures,
    }
    model = Model.model_validate({**given, "dataset": "mine", "dataset_id": "ds_1"})
    asked = (None, "ds_1", "mnist", "digits")
    assert [model.metric("accuracy", "test", dataset=of) for of in asked] == [0.9, 0.9, 0.5, None]


def test_cancelling_an_ended_job_is_refused(client: CleaveClient) -> None:
    job = client.jobs.create(TRAIN)
    client.jobs.cancel(job.id)
    with pytest.raises(CleaveApiError) as caught:
        client.jobs.cancel(job.id)
    assert (caught.value.status, caught.value.code) == (409, "already_terminal")


def test_a_bad_spec_comes_back_with_pointers(client: CleaveClient) -> None:
    with pytest.raises(CleaveApiError) as caught:
        client.jobs.create({**TRAIN, "epochs": -1})
    assert caught.value.status == 422
    assert [error["pointer"] for error in caught.value.errors] == ["/epochs"]
    assert caught.value.request_id


def test_a_wrong_key_is_unauthorized(live: LiveService) -> None:
    with CleaveClient(live.url, "cleave_none_none") as client, pytest.raises(CleaveApiError) as caught:
        client.jobs.list()
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "not a url", "http://"])
def test_no_service_is_a_connection_error_with_a_hint(url: str) -> None:
    with pytest.raises(CleaveConnectionError, match="cleave up"), CleaveClient(url, timeout=2) as client:
        client.jobs.list()


def test_catalogue(client: CleaveClient) -> None:
    assert "digits" in [dataset.name for dataset in client.datasets.list()]
    assert client.datasets.get("digits").test == 360
    assert "small_cnn" in [architecture.name for architecture in client.architectures.list()]
    assert client.models.list().data == []
    assert client.modules.list(form="gated", class_name="3").data == []
    assert client.compositions.list().data == []
    assert client.classes.find("3") == []


def test_metrics_come_whole_and_in_order(live: LiveService, client: CleaveClient) -> None:
    job = client.jobs.create(TRAIN)
    with live.database.write() as session:
        tenant_id = ensure_tenant(session)
        for epoch in range(450):
            session.add(
                Metric(tenant_id=tenant_id, job_id=job.id, name="loss", value=1 / (1 + epoch), epoch=epoch)
            )
    curve = client.jobs.metrics(job.id)
    assert [metric.epoch for metric in curve] == list(range(450))
