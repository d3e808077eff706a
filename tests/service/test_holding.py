"""A job is submitted while what it names is removed: one waits for the other, and either is refused."""

import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from core.specs import parse_job_spec
from service import removal, submission
from service.datasets import uploading
from service.jobs import repository as jobs
from service.jobs.tables import Job
from service.platform.database import Database
from service.platform.errors import InUseError
from tests.fixtures.client import Account, Api
from tests.fixtures.database import waits_for_a_lock
from tests.fixtures.problems import problem
from tests.fixtures.uploads import announce, send, upload
from tests.fixtures.waiting import eventually
from tests.service.datasets.test_uploads import finish as finish_dataset

DIGITS = [str(digit) for digit in range(10)]
TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
REMOVE = {
    "models": lambda session, thing: removal.remove_model(session, thing, None),
    "modules": lambda session, thing: removal.remove_module(session, thing, None),
    "compositions": lambda session, thing: removal.remove_composition(session, thing, None),
    "datasets": uploading.delete,
}
Made = dict[str, str]


def made(account: Account, upto: str) -> Made:
    """The things of a tenant by their kind, in the order in which each is made of those before."""
    job = upload(account.http, b"images")
    finish_dataset(account, job)
    found = {"datasets": str(job["spec"]["dataset_id"])}
    found["models"] = account.registry.train(classes=DIGITS, dataset=found["datasets"])
    if upto != "models":
        (found["modules"],) = account.registry.extract(found["models"], {"1": 0.9})
    if upto == "compositions":
        found["compositions"] = account.registry.compose({"classes": ["1"]})["composition_id"]
    return found


# What is removed, and the job that needs it, of the things that there are.
CASES: dict[str, tuple[str, Callable[[Made], dict[str, Any]]]] = {
    "extract": ("models", lambda m: {"kind": "extract", "model_id": m["models"], "evaluate": False}),
    "sweep": ("models", lambda m: {"kind": "sweep", "model_id": m["models"], "thresholds": [0.5]}),
    "evaluate model": ("models", lambda m: {"kind": "evaluate", "target_id": m["models"]}),
    "start from": ("models", lambda m: {**TRAIN, "initial_model_id": m["models"]}),
    "learn from": (
        "models", lambda m: {**TRAIN, "dataset": m["datasets"], "teacher_model_id": m["models"]}
    ),
    "evaluate module": ("modules", lambda m: {"kind": "evaluate", "target_id": m["modules"]}),
    "compose": ("modules", lambda m: {"kind": "compose", "module_ids": [m["modules"]]}),
    "evaluate composition": (
        "compositions", lambda m: {"kind": "evaluate", "target_id": m["compositions"]}
    ),
    "train": ("datasets", lambda m: {**TRAIN, "dataset": m["datasets"]}),
    "evaluate on": (
        "datasets",
        lambda m: {"kind": "evaluate", "target_id": m["models"], "dataset": m["datasets"]},
    ),
    "extract and measure": ("datasets", lambda m: {"kind": "extract", "model_id": m["models"]}),
    "measure module": ("datasets", lambda m: {"kind": "evaluate", "target_id": m["modules"]}),
    "compose and measure": ("datasets", lambda m: {"kind": "compose", "module_ids": [m["modules"]]}),
}  # fmt: skip


def meanwhile(
    api: Api, account: Account, first: Callable[[Session], object], second: Callable[[], httpx.Response]
) -> httpx.Response:
    """What `second` is answered, which was asked before the transaction of `first` had ended."""
    account.http.get("/v1/jobs")  # who calls is known from here on
    with ThreadPoolExecutor(1) as pool:
        with api.database.write(account.tenant_id) as session:
            first(session)
            answer = pool.submit(second)
            require_waiting(api.database, answer)
        return answer.result(30)


def require_waiting(database: Database, answer: Future[httpx.Response]) -> None:
    if database.engine.dialect.name == "sqlite":
        wait([answer], timeout=0.2)
    else:
        eventually(lambda: answer.done() or waits_for_a_lock(database))
    assert not answer.done(), answer.result().text


def active(api: Api, account: Account, thing: str) -> list[str]:
    with api.database.read(account.tenant_id) as session:
        return jobs.active_jobs_naming(session, thing)


@pytest.mark.parametrize("name", CASES)
class TestEitherIsRefused:
    def test_the_job_where_the_removal_comes_first(self, api: Api, account: Account, name: str) -> None:
        kind, spec = CASES[name]
        found = made(account, kind)
        answer = meanwhile(
            api,
            account,
            lambda session: REMOVE[kind](session, found[kind]),
            lambda: account.http.post("/v1/jobs", json=spec(found)),
        )
        assert (answer.status_code, problem(answer)["code"]) == (404, "not_found")
        assert account.http.get(f"/v1/{kind}/{found[kind]}").status_code == 404
        assert active(api, account, found[kind]) == []

    def test_the_removal_where_the_job_comes_first(self, api: Api, account: Account, name: str) -> None:
        kind, spec = CASES[name]
        found, submitted = made(account, kind), list[Job]()

        def submit(session: Session) -> None:
            submitted.append(submission.submit(session, account.tenant_id, parse_job_spec(spec(found))))

        answer = meanwhile(api, account, submit, lambda: account.http.delete(f"/v1/{kind}/{found[kind]}"))
        refusal = problem(answer)
        assert (answer.status_code, refusal["code"]) == (409, "in_use")
        users = [submitted[0].id, str(submitted[0].spec.get("composition_id"))]
        assert any(user in refusal["detail"] for user in users), refusal
        assert account.http.get(f"/v1/{kind}/{found[kind]}").status_code == 200


class TestRemovalsThatAreRefused:
    def test_the_job_goes_on(self, api: Api, account: Account) -> None:
        """Who waits for a removal is not refused for its sake alone."""
        found = made(account, "modules")
        spec = {"kind": "extract", "model_id": found["models"]}
        with ThreadPoolExecutor(1) as pool, api.database.write(account.tenant_id) as session:
            with pytest.raises(InUseError):
                removal.remove_model(session, found["models"], None)
            answer = pool.submit(lambda: account.http.post("/v1/jobs", json=spec))
            require_waiting(api.database, answer)
            session.rollback()
            assert answer.result(30).status_code == 202


class TestCompositionsBuiltAgain:
    def given_up(self, account: Account) -> tuple[dict[str, Any], str]:
        """A request to compose, and the composition that was not built for it."""
        spec = {"kind": "compose", "module_ids": [made(account, "modules")["modules"]]}
        job = account.http.post("/v1/jobs", json=spec).json()
        assert account.http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
        return spec, str(job["spec"]["composition_id"])

    def test_what_is_removed_before_is_made_anew(self, api: Api, account: Account) -> None:
        spec, old = self.given_up(account)
        answer = meanwhile(
            api,
            account,
            lambda session: removal.remove_composition(session, old, None),
            lambda: account.http.post("/v1/jobs", json=spec),
        )
        assert answer.status_code == 202, answer.text
        assert answer.json()["spec"]["composition_id"] != old

    def test_what_is_being_built_is_not_removed(self, api: Api, account: Account) -> None:
        spec, old = self.given_up(account)
        answer = meanwhile(
            api,
            account,
            lambda session: submission.submit(session, account.tenant_id, parse_job_spec(spec)),
            lambda: account.http.delete(f"/v1/compositions/{old}"),
        )
        assert (answer.status_code, problem(answer)["code"]) == (409, "in_use")


class TestUploads:
    def complete_upload(self, account: Account) -> tuple[str, str]:
        """A dataset and its upload, all parts of which are there."""
        dataset_id = str(account.http.post("/v1/datasets", json={"name": "mine"}).json()["id"])
        opened = announce(account.http, dataset_id, b"images", 1024)
        send(account.http, f"/v1/datasets/{dataset_id}/uploads/{opened['id']}", [1], b"images", 1024)
        return dataset_id, str(opened["id"])

    def test_a_dataset_that_is_filled_is_not_removed(self, api: Api, account: Account) -> None:
        dataset_id, upload_id = self.complete_upload(account)
        answer = meanwhile(
            api,
            account,
            lambda session: uploading.complete(session, dataset_id, upload_id),
            lambda: account.http.delete(f"/v1/datasets/{dataset_id}"),
        )
        assert (answer.status_code, problem(answer)["code"]) == (409, "dataset_importing")

    def test_a_dataset_that_is_removed_is_not_filled(self, api: Api, account: Account) -> None:
        dataset_id, upload_id = self.complete_upload(account)
        answer = meanwhile(
            api,
            account,
            lambda session: uploading.delete(session, dataset_id),
            lambda: account.http.post(f"/v1/datasets/{dataset_id}/uploads/{upload_id}/complete"),
        )
        assert (answer.status_code, problem(answer)["code"]) == (404, "not_found")

    def test_who_completes_it_at_the_same_time_gets_the_same_job(self, api: Api, account: Account) -> None:
        dataset_id, upload_id = self.complete_upload(account)
        first = list[Job]()
        answer = meanwhile(
            api,
            account,
            lambda session: first.append(uploading.complete(session, dataset_id, upload_id)),
            lambda: account.http.post(f"/v1/datasets/{dataset_id}/uploads/{upload_id}/complete"),
        )
        assert (answer.status_code, answer.json()["id"]) == (202, first[0].id)


def test_jobs_that_name_the_same_do_not_wait_for_each_other(api: Api, account: Account) -> None:
    """Nor for whoever changes it. On SQLite everybody waits for the writer."""
    if api.database.engine.dialect.name == "sqlite":
        return
    model_id = made(account, "models")["models"]
    spec = {"kind": "extract", "model_id": model_id}
    with api.database.write(account.tenant_id) as session:
        submission.submit(session, account.tenant_id, parse_job_spec(spec))
        assert account.http.post("/v1/jobs", json=spec).status_code == 202
        assert account.http.patch(f"/v1/models/{model_id}", json={"tags": ["new"]}).status_code == 200


def test_nobody_waits_in_a_circle(api: Api, account: Account) -> None:
    """Everything is asked for and removed at once; whatever is accepted is there when it is over."""
    model_id = account.registry.train(classes=DIGITS)
    module_ids = account.registry.extract(model_id, {"1": 0.9, "2": 0.9, "3": 0.9})
    others = [account.registry.train(classes=DIGITS) for _ in range(3)]
    chance = random.Random(0)
    asked: list[tuple[str, str, Any]] = []
    for one, other in zip(module_ids, others, strict=True):
        asked += [
            ("DELETE", f"/v1/modules/{one}", None),
            ("DELETE", f"/v1/models/{other}", None),
            ("POST", "/v1/jobs", {"kind": "compose", "module_ids": module_ids}),
            ("POST", "/v1/jobs", {"kind": "evaluate", "target_id": one}),
            ("POST", "/v1/jobs", {**TRAIN, "initial_model_id": other, "teacher_model_id": model_id}),
            ("POST", "/v1/jobs", {**TRAIN, "initial_model_id": model_id, "teacher_model_id": other}),
            ("PATCH", f"/v1/models/{other}", {"tags": ["new"]}),
        ]
    chance.shuffle(asked)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: account.http.request(one[0], one[1], json=one[2]), asked))
    assert {answer.status_code for answer in answers} <= {200, 202, 204, 404, 409}, answers
    for thing in [*module_ids, *others]:
        kind = "modules" if thing in module_ids else "models"
        gone = account.http.get(f"/v1/{kind}/{thing}").status_code == 404
        assert not (gone and active(api, account, thing)), thing
