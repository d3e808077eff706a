"""A part that arrives while its upload is completed, removed or sent the same part: never a mixed file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.datasets import uploading
from service.models import importing
from service.models.schemas import ModelImport
from service.platform.clock import db_now
from service.platform.holding import changing
from service.platform.storage import open_store
from service.uploads import repository
from service.uploads import service as uploads
from service.uploads.tables import Upload, UploadPart
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.uploads import announce, content_digest, uploaded
from tests.service.datasets.test_uploads import CONTENT, SIZE, opened, send
from tests.service.test_holding import meanwhile

MODEL: dict[str, Any] = {
    "architecture": "small_cnn", "class_names": ["a", "b"], "input_shape": [1, 8, 8], "mean": [0], "std": [1]
}  # fmt: skip


def replace_first(account: Account, path: str) -> httpx.Response:
    """The first part again, with other content."""
    other = bytes(SIZE)
    return account.http.put(f"{path}/parts/1", content=other, headers=content_digest(other))


def first_part(api: Api, path: str) -> str:
    with api.database.read() as session:
        mine = UploadPart.upload_id == path.rpartition("/")[2]
        return session.scalars(select(UploadPart.sha256).where(mine, UploadPart.number == 1)).one()


@pytest.fixture
def path(account: Account) -> str:
    """Of a dataset's upload with all its parts."""
    made = opened(account)
    for number in (1, 2, 3):
        send(account, made, number)
    return made


def refused_when_completed(api: Api, account: Account, path: str) -> httpx.Response:
    """The answer to a first part that comes while the upload is completed."""
    _, _, _, dataset_id, _, upload_id = path.split("/")
    answer = meanwhile(
        api,
        account,
        lambda session: uploading.complete(session, dataset_id, upload_id),
        lambda: replace_first(account, path),
    )
    assert problem(answer)["code"] == "upload_completed"
    return answer


def test_what_is_completed_stays_as_it_was(api: Api, account: Account, path: str) -> None:
    before = first_part(api, path)
    refused_when_completed(api, account, path)
    assert first_part(api, path) == before


def test_what_a_refused_part_leaves_may_be_part_of_another(
    api: Api, account: Account, path: str, tmp_path: Path
) -> None:
    """So it stays until it is collected."""
    other = opened(account).rpartition("/")[2]
    staged, store = tmp_path / "part", open_store(api.settings)
    staged.write_bytes(bytes(SIZE))
    stored = store.ingest(staged)  # by the other's request, which is about to record it
    answer = refused_when_completed(api, account, path)
    assert answer.request.headers["Content-Digest"] == content_digest(bytes(SIZE))["Content-Digest"]
    with api.database.write(account.tenant_id) as session:
        uploads.record_part(session, uploads.find(session, other, changing), 1, stored)
    assert store.path(stored.sha256).read_bytes() == bytes(SIZE)


def test_what_a_model_is_made_of_stays_as_it_was(api: Api, account: Account) -> None:
    upload_id = uploaded(account.http, CONTENT, SIZE)
    request = ModelImport(upload_id=upload_id, **MODEL)
    before = first_part(api, upload_id)
    answer = meanwhile(
        api,
        account,
        lambda session: importing.submit(session, account.tenant_id, request),
        lambda: replace_first(account, f"/v1/uploads/{upload_id}"),
    )
    assert problem(answer)["code"] == "upload_completed"
    assert first_part(api, upload_id) == before


def expire(session: Session, upload_id: str) -> None:
    past: Any = db_now() - 1000
    session.get_one(Upload, upload_id).expires_at = past
    session.flush()
    assert repository.take_expired(session, upload_id)
    repository.remove(session, upload_id)


@pytest.mark.parametrize(
    "remove",
    [
        lambda session, dataset_id, _: uploading.delete(session, dataset_id),
        lambda session, _, upload_id: expire(session, upload_id),
    ],
    ids=["the dataset", "the upload"],
)
def test_a_part_of_what_is_removed_is_not_found(
    api: Api, account: Account, path: str, remove: Callable[[Session, str, str], None]
) -> None:
    _, _, _, dataset_id, _, upload_id = path.split("/")
    answer = meanwhile(
        api,
        account,
        lambda session: remove(session, dataset_id, upload_id),
        lambda: replace_first(account, path),
    )
    assert problem(answer)["code"] == "not_found"


@pytest.mark.parametrize("for_model", [False, True])
def test_the_same_part_many_times_at_once(account: Account, for_model: bool) -> None:
    made = announce(account.http, None, CONTENT, SIZE)
    path = f"/v1/uploads/{made['id']}" if for_model else opened(account)
    with ThreadPoolExecutor(8) as pool:
        for number in (1, 2, 3):
            answers = pool.map(lambda _, n=number: send(account, path, n).status_code, range(8))
            assert set(answers) == {204}
    assert account.http.get(path).json()["missing"] == []


def test_all_who_complete_at_once_get_the_same_job(account: Account, path: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: account.http.post(f"{path}/complete"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
