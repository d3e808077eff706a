"""Names, tags and labels that would be obeyed by a terminal or look like others are refused everywhere."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.fixtures.client import Account, any_database
from tests.fixtures.problems import problem
from tests.fixtures.uploads import uploaded

JOB = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
Send = Callable[[Account, str], httpx.Response]
MODEL: dict[str, Any] = {"architecture": "small_cnn", "input_shape": [1, 8, 8], "mean": [0], "std": [1]}


def changed(body: Callable[[str], dict[str, Any]]) -> Send:
    def patch(account: Account, text: str) -> httpx.Response:
        return account.http.patch(f"/v1/models/{account.registry.train()}", json=body(text))

    return patch


def posted(path: str, body: Callable[[str], dict[str, Any]]) -> Send:
    return lambda account, text: account.http.post(path, json=body(text))


def imported(body: Callable[[str], dict[str, Any]]) -> Send:
    def post(account: Account, text: str) -> httpx.Response:
        upload_id = uploaded(account.http, b"x" * 2000)
        said = {"upload_id": upload_id, "class_names": ["a", "b"], **MODEL, **body(text)}
        return account.http.post("/v1/models", json=said)

    return post


NAMES: dict[str, Send] = {
    "class of an imported model": imported(lambda t: {"class_names": [t, "b"]}),
    "tag of an imported model": imported(lambda t: {"tags": [t]}),
    "key of an imported model": imported(lambda t: {"metadata": {t: ""}}),
    "dataset": posted("/v1/datasets", lambda t: {"name": t}),
    "class of a dataset": posted("/v1/datasets", lambda t: {"name": "x", "class_names": [t, "b"]}),
    "file": posted(
        "/v1/uploads", lambda t: {"filename": t, "size": 1, "sha256": "0" * 64, "part_size": 1024}
    ),
    "tag": changed(lambda t: {"tags": [t]}),
    "key": changed(lambda t: {"metadata": {t: ""}}),
    "key of a job": posted("/v1/jobs", lambda t: {**JOB, "metadata": {t: ""}}),
    "API key": posted("/v1/api_keys", lambda t: {"name": t}),
}
TEXTS: dict[str, Send] = {
    "value": changed(lambda t: {"metadata": {"a": t}}),
    "value of a job": posted("/v1/jobs", lambda t: {**JOB, "metadata": {"a": t}}),
    "description of a dataset": posted("/v1/datasets", lambda t: {"name": "x", "description": t}),
    "description of a webhook": posted(
        "/v1/webhooks", lambda t: {"url": "https://example.com/", "description": t}
    ),
}


@any_database
@pytest.mark.parametrize("where", [*NAMES, *TEXTS])
def test_what_is_hidden_is_refused(account: Account, where: str) -> None:
    send = (NAMES | TEXTS)[where]
    for text in ("\x1b[2J", "cat\u200b", "\u202etac", "\x9b31m") + (("a\nb",) if where in NAMES else ()):
        told = problem(send(account, text))
        assert (told["status"], told["code"]) == (422, "invalid_request"), ascii(text)
        assert told["errors"][0]["code"] == "string_pattern_mismatch"


@pytest.mark.parametrize("where", [*NAMES, *TEXTS])
def test_what_people_write_is_accepted(account: Account, where: str) -> None:
    texts = ["Größe (1) 猫 👩\u200d🔬"] + (["first\nsecond\tthird"] if where in TEXTS else [])
    for text in texts:
        assert (NAMES | TEXTS)[where](account, text).status_code < 300
