"""/v1/webhooks over a real server."""

import time
from typing import Any

import pytest

from tests.fixtures.client import Account
from tests.fixtures.problems import problem

URL = "https://example.com/hook"


def create(account: Account, **values: Any) -> dict[str, Any]:
    answer = account.http.post("/v1/webhooks", json={"url": URL, **values})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/webhooks/{made['id']}"
    return made


def deliveries(account: Account, webhook_id: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.http.get(f"/v1/webhooks/{webhook_id}/deliveries{query}").json()[
        "data"
    ]
    return found


def test_the_secret_is_shown_once(account: Account) -> None:
    made = create(account, description="ours")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["job.succeeded", "job.failed", "job.cancelled", "job.expired"]
    read = account.http.get(f"/v1/webhooks/{made['id']}")
    assert read.json() == {name: value for name, value in made.items() if name != "secret"}
    assert account.http.get("/v1/webhooks").json()["data"] == [read.json()]


def test_a_repeated_request_answers_with_the_same_secret(account: Account) -> None:
    body, headers = {"url": URL}, {"Idempotency-Key": "once"}
    first, again = (account.http.post("/v1/webhooks", json=body, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    assert len(account.http.get("/v1/webhooks").json()["data"]) == 1


def test_a_repeated_request_says_that_what_it_made_is_gone(account: Account) -> None:
    body, headers = {"url": URL}, {"Idempotency-Key": "once"}
    made = account.http.post("/v1/webhooks", json=body, headers=headers).json()
    account.http.delete(f"/v1/webhooks/{made['id']}")
    refusal = problem(account.http.post("/v1/webhooks", json=body, headers=headers))
    assert (refusal["status"], "Idempotency-Key" in refusal["detail"]) == (404, True)
    declared = account.http.get("/openapi.json").json()["paths"]["/v1/webhooks"]["post"]["responses"]
    assert "404" in declared
    assert account.http.get("/v1/webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"url": "http://127.0.0.1/"}, "webhook_url_refused"),
        ({"url": "https://169.254.169.254/"}, "webhook_url_refused"),
        ({"url": "https://example.com/" + "x" * 2000}, "invalid_request"),
        ({"url": URL, "events": ["job.done"]}, "invalid_request"),
        ({"url": URL, "events": []}, "invalid_request"),
        ({"url": URL, "secret": "mine"}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
def test_what_is_refused(account: Account, wrong: dict[str, Any], code: str) -> None:
    assert problem(account.http.post("/v1/webhooks", json=wrong))["code"] == code
    assert account.http.get("/v1/webhooks").json()["data"] == []


def test_changed_turned_off_turned_on_and_removed(account: Account) -> None:
    path = f"/v1/webhooks/{create(account)['id']}"
    changed = account.http.patch(path, json={"url": URL + "2", "events": ["job.running"]}).json()
    assert (changed["url"], changed["events"], changed["enabled"]) == (URL + "2", ["job.running"], True)
    assert (
        problem(account.http.patch(path, json={"url": "https://10.0.0.1/"}))["code"] == "webhook_url_refused"
    )
    off = account.http.patch(path, json={"enabled": False}).json()
    assert (off["enabled"], off["disabled_reason"], off["url"]) == (False, "owner", URL + "2")
    assert problem(account.http.post(f"{path}/test"))["code"] == "webhook_disabled"
    assert account.http.patch(path, json={"enabled": True}).json()["enabled"] is True
    assert account.http.delete(path).status_code == 204
    for answer in (account.http.get(path), account.http.delete(path), account.http.patch(path, json={})):
        assert problem(answer)["code"] == "not_found"


def test_a_changed_job_leaves_a_message_with_those_who_asked(account: Account, stranger: Account) -> None:
    wanted = create(account, events=["job.queued", "job.cancelled"])["id"]
    endings = create(account)["id"]
    off = create(account, events=["job.queued"])["id"]
    account.http.patch(f"/v1/webhooks/{off}", json={"enabled": False})
    other = create(stranger, events=["job.queued"])["id"]
    job = account.http.post(
        "/v1/jobs", json={"kind": "train", "architecture": "small_cnn", "dataset": "digits", "epochs": 1}
    ).json()["id"]
    account.http.post(f"/v1/jobs/{job}/cancel")
    told = [(d["type"], d["data"]) for d in reversed(deliveries(account, wanted))]
    about = {"job_id": job, "kind": "train"}
    assert told == [
        ("job.queued", {**about, "state": "queued", "seq": 1}),
        ("job.cancelled", {**about, "state": "cancelled", "seq": 2}),
    ]
    assert [d["type"] for d in deliveries(account, endings)] == ["job.cancelled"]
    assert deliveries(account, off) == []
    assert deliveries(stranger, other) == []
    assert len(deliveries(account, wanted, "?limit=1")) == 1
    assert deliveries(account, wanted, "?state=delivered") == []


def test_twenty_webhooks_and_no_more(account: Account) -> None:
    for _ in range(20):
        create(account)
    assert problem(account.http.post("/v1/webhooks", json={"url": URL}))["code"] == "too_many_webhooks"


def test_a_deliverys_id_is_one_of_its_webhooks(account: Account) -> None:
    first, second = create(account)["id"], create(account)["id"]
    sent = account.http.post(f"/v1/webhooks/{first}/test")
    assert (sent.status_code, sent.json()["type"], sent.json()["state"]) == (202, "webhook.test", "pending")
    again = account.http.post(f"/v1/webhooks/{first}/deliveries/{sent.json()['id']}/redeliver")
    assert (again.status_code, again.json()["id"]) == (202, sent.json()["id"])
    wrong = account.http.post(f"/v1/webhooks/{second}/deliveries/{sent.json()['id']}/redeliver")
    assert problem(wrong)["code"] == "not_found"


def test_only_what_was_seen_is_changed_or_removed(account: Account) -> None:
    path = f"/v1/webhooks/{create(account)['id']}"
    seen = {"If-Match": account.http.get(path).headers["ETag"]}
    changed = account.http.patch(path, json={"description": "mine"}, headers=seen)
    assert changed.status_code == 200
    for method, body in (("PATCH", {"description": "yours"}), ("DELETE", None)):
        refused = problem(account.http.request(method, path, json=body, headers=seen))
        assert (refused["status"], refused["code"]) == (412, "precondition_failed")
    assert account.http.get(path).json()["description"] == "mine"
    now = {"If-Match": changed.headers["ETag"]}
    assert account.http.delete(path, headers=now).status_code == 204
    assert account.http.delete(path, headers=now).status_code == 404


def test_when_and_why_it_was_turned_off_is_told(account: Account) -> None:
    path = f"/v1/webhooks/{create(account)['id']}"
    assert account.http.get(path).json()["disabled_at"] is None
    time.sleep(0.01)  # instants are whole milliseconds
    off = account.http.patch(path, json={"enabled": False}).json()
    assert (off["disabled_at"] > off["created_at"], off["disabled_reason"]) == (True, "owner")
    assert account.http.patch(path, json={"enabled": True}).json()["disabled_at"] is None


def test_a_webhook_of_named_jobs_hears_of_no_others(account: Account) -> None:
    train = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
    events = ["job.queued", "job.cancelled"]
    named = create(account, events=events, all_jobs=False)["id"]
    every = create(account, events=events)["id"]
    ids = []
    for spec in (train, {**train, "webhook_id": named}):
        ids.append(account.http.post("/v1/jobs", json=spec).json()["id"])
        account.http.post(f"/v1/jobs/{ids[-1]}/cancel")

    def heard(webhook_id: str) -> set[tuple[str, str]]:
        return {(d["type"], d["data"]["job_id"]) for d in deliveries(account, webhook_id)}

    assert heard(named) == {(event, ids[1]) for event in events}
    assert heard(every) == {(event, job_id) for event in events for job_id in ids}
    assert account.http.delete(f"/v1/webhooks/{named}").status_code == 204
    assert problem(account.http.post("/v1/jobs", json={**train, "webhook_id": named}))["code"] == "not_found"
    assert account.http.post(f"/v1/jobs/{ids[1]}/retry").status_code == 202
