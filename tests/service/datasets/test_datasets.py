"""The built-in datasets, and refusing work whose data is not there."""

from pathlib import Path

import pytest

from core.catalog import DATASETS
from core.specs import TrainSpec
from service import submission
from service.platform.database import Database
from service.platform.errors import DataRootMissingError
from service.platform.settings import Settings
from tests.fixtures.client import Account


def test_the_list_says_what_can_be_used_here(account: Account) -> None:
    found = {d["name"]: d for d in account.http.get("/v1/datasets").json()["data"]}
    assert found["digits"]["available"] is True
    assert found["mnist"]["available"] is False
    assert found["digits"]["validation"] > 0


def test_an_unknown_name(account: Account) -> None:
    answer = account.http.get("/v1/datasets/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_training_on_absent_data_is_refused_with_what_to_set(account: Account) -> None:
    answer = account.http.post(
        "/v1/jobs", json={"kind": "train", "architecture": "small_cnn", "dataset": "mnist"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "data_root_missing")
    assert "CLEAVE_DATA_ROOT" in answer.json()["detail"]


def test_a_job_is_queued_once_every_file_is_there(
    database: Database, settings: Settings, tenant: str, tmp_path: Path
) -> None:
    spec = TrainSpec(architecture="small_cnn", dataset="mnist")
    root = tmp_path / "data"
    opened = Database(settings.model_copy(update={"data_root": root}))
    for name in DATASETS["mnist"].files:
        with opened.write(tenant) as session, pytest.raises(DataRootMissingError, match=name):
            submission.submit(session, tenant, spec)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    with opened.write(tenant) as session:
        assert submission.submit(session, tenant, spec).state == "queued"
    opened.dispose()
