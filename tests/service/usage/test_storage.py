"""A tenant's share of the store: uploads, jobs, and many requests at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.jobs.tables import Job
from service.platform.errors import StorageQuotaError
from service.tenants.service import limit_tenant
from service.tenants.tables import Tenant
from service.uploads.tables import Upload
from service.usage.storage import require_space
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.statements import statements

MIB = 1 << 20
TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


def announce(account: Account, size: int, path: str = "/v1/uploads") -> httpx.Response:
    upload = {"filename": "f", "size": size, "sha256": "0" * 64, "part_size": MIB}
    return account.http.post(path, json=upload)


@pytest.fixture
def limited(api: Api, account: Account) -> Account:
    """A tenant that may store 3 MiB."""
    limit(api, account, 3)
    return account


def limit(api: Api, account: Account, mib: int | None) -> None:
    with api.database.write() as session:
        limit_tenant(session, session.get_one(Tenant, account.tenant_id).name, {"max_stored_mib": mib})


def left(account: Account) -> int:
    quotas: dict[str, Any] = account.http.get("/v1/usage").json()["quotas"]
    return int(quotas["stored_bytes"]["left"])


class TestUploads:
    @pytest.mark.parametrize("owner", ["dataset", "itself"])
    def test_what_is_left_may_be_sent_and_not_a_byte_more(self, limited: Account, owner: str) -> None:
        path = "/v1/uploads"
        if owner == "dataset":
            path = (
                f"/v1/datasets/{limited.http.post('/v1/datasets', json={'name': 'd'}).json()['id']}/uploads"
            )
        assert announce(limited, MIB, path).status_code == 201
        refused = problem(announce(limited, 2 * MIB + 1, path))
        assert (refused["status"], refused["code"]) == (507, "storage_quota_exceeded")
        assert f"{2 * MIB} that are left" in refused["detail"]
        assert not refused["retryable"]
        assert announce(limited, 2 * MIB, path).status_code == 201
        assert left(limited) == 0

    def test_files_count_and_other_tenants_do_not(self, limited: Account, stranger: Account) -> None:
        limited.registry.train()
        stranger.registry.train()
        assert announce(limited, 3 * MIB).status_code == 507
        assert announce(limited, left(limited)).status_code == 201
        assert announce(stranger, 100 * MIB).status_code == 201

    def test_of_many_at_once_no_more_than_there_is_room_for(self, limited: Account) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: announce(limited, MIB).status_code, range(8)))
        assert sorted(answers) == [201] * 3 + [507] * 5


@pytest.mark.parametrize(("size", "sums"), [(1, 1), (3 * MIB // 100, 1), (3 * MIB // 100 + 1, 2)])
def test_the_tenant_is_locked_only_near_the_limit(api: Api, limited: Account, size: int, sums: int) -> None:
    engine = api.database.engine
    with statements(engine) as seen, api.database.write() as session:
        require_space(session, limited.tenant_id, size)
    assert sum("FROM artifacts" in said for said, _ in seen) == sums
    if engine.dialect.name == "postgresql":
        assert any("FOR NO KEY UPDATE" in said for said, _ in seen) == (sums == 2)


def test_what_could_not_be_kept_is_not_begun(api: Api, limited: Account) -> None:
    model_id = limited.registry.train()
    limit(api, limited, 0)
    for spec in (TRAIN, {"kind": "extract", "model_id": model_id}):
        refused = problem(limited.http.post("/v1/jobs", json=spec))
        assert (refused["status"], refused["code"]) == (507, "storage_quota_exceeded")
    assert limited.http.post("/v1/jobs", json={"kind": "evaluate", "target_id": model_id}).status_code == 202
    limit(api, limited, None)
    assert limited.http.post("/v1/jobs", json=TRAIN).status_code == 202


def test_what_a_job_makes_takes_the_place_of_what_it_read(api: Api, limited: Account) -> None:
    job_id = limited.http.post("/v1/jobs", json=TRAIN).json()["id"]
    for size in (2 * MIB, MIB):
        announce(limited, size)
    with api.database.write(limited.tenant_id) as session:
        session.query(Upload).filter_by(size=2 * MIB).one().job_id = session.get_one(Job, job_id).id
    with api.database.write() as session:
        require_space(session, limited.tenant_id, 2 * MIB, reader=job_id)
        for size, reader in ((2 * MIB + 1, job_id), (1, None)):
            with pytest.raises(StorageQuotaError):
                require_space(session, limited.tenant_id, size, reader=reader)
