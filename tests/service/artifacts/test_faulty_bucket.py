"""A bucket that fails in the middle, damages, or is not one: nothing half stored is taken for whole."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.artifacts.collection import verify
from service.jobs.endings import Failed
from service.platform import s3 as s3_store
from service.platform.errors import ArtifactDamagedError, UnavailableError
from service.platform.s3 import S3Store
from service.platform.settings import Settings
from tests.fixtures.client import Account, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.faulty import Answer, Fault, Faulty, answers, faulty
from tests.fixtures.problems import problem
from tests.fixtures.s3 import S3Server
from tests.fixtures.uploads import announce, content_digest
from worker.faults import blamed, cause_of, failure_of

CONTENT = os.urandom(100_000)
DOWN = answers(500, b"<Error><Code>InternalError</Code><Message>ours</Message></Error>")


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[Faulty]:
    with faulty(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def settings(s3: S3Server, bucket: Faulty, tmp_path: Path) -> Settings:
    values = {**s3.bucket(uuid.uuid4().hex), "s3_endpoint_url": bucket.url}
    return settings_for(tmp_path, s3_cache_mib=0, **values)


@pytest.fixture
def store(settings: Settings) -> S3Store:
    return S3Store(settings)


@pytest.fixture
def digest(settings: Settings, store: S3Store, tmp_path: Path) -> str:
    """Of content that is stored, and not in the cache."""
    found = store.ingest(staged(tmp_path, CONTENT)).sha256
    (settings.artifact_root / "cache" / found).unlink()
    return found


def staged(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(content)
    return path


def damaging(times: int) -> Fault:
    """One bit of so many downloads is another."""
    left = [times]

    def fault(method: str, pass_on: Callable[[], Answer]) -> Answer:
        status, headers, content = pass_on()
        if method != "GET" or left[0] == 0:
            return status, headers, content
        left[0] -= 1
        return status, headers, bytes([content[0] ^ 1]) + content[1:]

    return fault


def leftovers(settings: Settings) -> list[str]:
    return [path.name for path in (settings.artifact_root / "incoming").iterdir()]


def test_a_download_that_breaks_off_is_told_as_such(
    settings: Settings, store: S3Store, bucket: Faulty, digest: str
) -> None:
    bucket.announced = 1000
    with pytest.raises(UnavailableError):
        b"".join(store.open_range(digest))
    with pytest.raises(UnavailableError) as told:
        store.path(digest)
    assert cause_of(told.value) == "infra"
    assert leftovers(settings) == []
    bucket.announced = 0
    assert store.path(digest).read_bytes() == CONTENT


def test_what_was_damaged_on_its_way_is_fetched_again(
    settings: Settings, store: S3Store, bucket: Faulty, digest: str
) -> None:
    bucket.fault = damaging(2)
    with pytest.raises(ArtifactDamagedError, match="another digest") as told:
        store.path(digest)
    assert failure_of(told.value).cause == "internal"
    assert leftovers(settings) == []
    bucket.fault = damaging(1)
    assert store.path(digest).read_bytes() == CONTENT


def test_a_copy_that_was_damaged_here_is_fetched_again(store: S3Store, digest: str) -> None:
    copy, failed = store.path(digest), Failed("artifact_invalid", "The runner said so.", "user")
    assert blamed(failed, {"weights": str(copy)}, store) is failed
    copy.chmod(0o644)
    copy.write_bytes(CONTENT[:-1])
    told = blamed(failed, {"weights": str(copy)}, store)
    assert isinstance(told, Failed)
    assert (told.code, told.cause) == ("artifact_damaged", "internal")
    assert store.path(digest).read_bytes() == CONTENT


@pytest.mark.parametrize("one_put", [1 << 20, 1000], ids=["in one piece", "in parts"])
def test_an_upload_that_is_refused_stores_nothing(
    settings: Settings,
    store: S3Store,
    bucket: Faulty,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_put: int,
) -> None:
    monkeypatch.setattr(s3_store, "_ONE_PUT_BYTES", one_put)
    bucket.fault = DOWN
    with pytest.raises(UnavailableError, match=r"InternalError|S3UploadFailedError") as told:
        store.ingest(staged(tmp_path, CONTENT))
    assert cause_of(told.value) == "infra"
    assert str(tmp_path) not in str(told.value)
    bucket.fault = None
    assert (list(store.blobs()), leftovers(settings)) == ([], [])
    assert not (settings.artifact_root / "cache").exists()


def test_what_says_yes_to_everything_is_no_bucket(store: S3Store, bucket: Faulty, tmp_path: Path) -> None:
    bucket.fault = answers(200, b"<html>Log in to this network</html>")
    with pytest.raises(UnavailableError):
        store.ingest(staged(tmp_path, CONTENT))
    with pytest.raises(UnavailableError):
        store.exists("0" * 64)


def redirecting(bucket: Faulty) -> Fault:
    """Whatever is asked is at the same address."""
    return lambda _, __: (307, [("Location", bucket.url)], b"")


def test_a_bucket_that_redirects_for_ever_is_away(
    settings: Settings, store: S3Store, bucket: Faulty, digest: str
) -> None:
    with migrated(settings) as database, open_api(settings, database) as api, api.account("mine") as account:
        url = account.http.get(f"/v1/models/{account.registry.train()}").json()["artifacts"][0]["url"]
        path = f"/v1/uploads/{announce(account.http, None, CONTENT, 1 << 20)['id']}/parts/1"
        bucket.fault = redirecting(bucket)
        for answer in (account.http.get(url), _send(account, path), account.http.get("/readyz")):
            assert (answer.status_code, problem(answer)["code"]) == (503, "unavailable")
    with pytest.raises(UnavailableError, match="redirects for ever") as told:
        store.path(digest)
    assert cause_of(told.value) == "infra"


def test_the_api_says_that_the_bucket_is_away(
    settings: Settings, bucket: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    with migrated(settings) as database, open_api(settings, database) as api, api.account("mine") as account:
        artifact = account.http.get(f"/v1/models/{account.registry.train()}").json()["artifacts"][0]
        path = f"/v1/uploads/{announce(account.http, None, CONTENT, 1 << 20)['id']}/parts/1"
        bucket.fault = DOWN
        for answer in (account.http.get(artifact["url"]), _send(account, path)):
            assert (answer.status_code, problem(answer)["code"]) == (503, "unavailable")
            assert problem(answer)["retryable"] is True
        assert "a part cannot be stored" in caplog.text
        with pytest.raises(UnavailableError):
            verify(database, S3Store(settings))
        bucket.fault = None
        assert verify(database, S3Store(settings)).intact
        assert _send(account, path).status_code == 204
        content = account.http.get(artifact["url"]).content
        assert hashlib.sha256(content).hexdigest() == artifact["sha256"]
        bucket.announced = 1000
        with pytest.raises(UnavailableError):
            verify(database, S3Store(settings))


def _send(account: Account, path: str) -> httpx.Response:
    return account.http.put(path, content=CONTENT, headers=content_digest(CONTENT))
