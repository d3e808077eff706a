"""Rate limits: by key, told in headers, shared by Redis, and nobody's fault when Redis is away."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.platform.rate_limits import RateLimiter
from tests.fixtures.client import Api, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.problems import problem


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Api]:
    settings = settings_for(tmp_path, rate_limit="3/hour")
    with migrated(settings) as database, open_api(settings, database) as api:
        yield api


class TestOverHttp:
    def test_what_is_left_is_told_and_then_it_is_refused(self, limited: Api) -> None:
        with limited.account("one") as account, limited.account("other") as other:
            left = [account.http.get("/v1/jobs").headers["RateLimit-Remaining"] for _ in range(3)]
            assert left == ["2", "1", "0"]
            answer = account.http.get("/v1/jobs")
            assert problem(answer)["code"] == "rate_limited"
            assert answer.headers["RateLimit-Limit"] == "3"
            assert 0 < int(answer.headers["Retry-After"]) <= 3600
            assert other.http.get("/v1/jobs").status_code == 200
            assert account.http.get("/livez").status_code == 200

    def test_refused_keys_and_files_by_link_are_not_counted(self, limited: Api) -> None:
        with limited.client() as http:
            answers: list[httpx.Response] = [http.get("/v1/jobs") for _ in range(5)]
        assert {a.status_code for a in answers} == {401}
        assert not any("RateLimit-Limit" in a.headers for a in answers)


class TestStorage:
    @pytest.mark.services
    def test_processes_share_the_count_in_redis(self, tmp_path: Path, redis: str) -> None:
        settings = settings_for(tmp_path, broker_url="redis://127.0.0.1:6379/0", broker_prefix=redis)
        one, other = (RateLimiter("2/hour", settings) for _ in range(2))
        verdicts = [one.hit("k"), other.hit("k"), one.hit("k")]
        assert [v.allowed for v in verdicts if v] == [True, True, False]

    def test_without_redis_everybody_passes(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path, broker_url="redis://127.0.0.1:1/0")
        assert RateLimiter("1/hour", settings).hit("k") is None
