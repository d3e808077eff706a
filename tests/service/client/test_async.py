"""The asyncio client against the real application: many things at once in one thread."""

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from service.client import AsyncCleaveClient, CleaveApiError, CleaveClient, WaitTimeoutError
from service.client.progress import ProgressLine
from service.client.schemas import Job, JobProgress
from tests.service.client.live import TRAIN, CuttingProxy, LiveService


@asynccontextmanager
async def connected(live: LiveService, url: str | None = None) -> AsyncIterator[AsyncCleaveClient]:
    async with AsyncCleaveClient(url or live.url, live.api_key, timeout=10) as client:
        yield client


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_many_jobs_are_waited_for_in_one_thread(live: LiveService) -> None:
    async def work() -> None:
        async with connected(live) as client:
            jobs = await asyncio.gather(*(client.jobs.create(TRAIN) for _ in range(20)))
            waits = [asyncio.create_task(client.jobs.wait(job.id)) for job in jobs]
            await asyncio.sleep(0.2)
            assert not any(wait.done() for wait in waits)
            for job in jobs:
                await client.jobs.cancel(job.id)
            ended = await asyncio.gather(*waits)
            assert threading.active_count() < 20
        assert [job.id for job in ended] == [job.id for job in jobs]
        assert {job.state for job in ended} == {"cancelled"}

    run(work)


def test_a_list_is_iterated_over_to_its_end(live: LiveService) -> None:
    async def work() -> None:
        async with connected(live) as client:
            created = [(await client.jobs.create(TRAIN)).id for _ in range(3)]
            found = [job.id async for job in await client.jobs.list(limit=1, state="queued")]
            assert found[:3] == created[::-1]
            with pytest.raises(TypeError, match="async for"):
                list(await client.jobs.list(limit=1))

    run(work)


def test_a_wait_ends_when_its_task_is_cancelled_or_its_time_is_over(live: LiveService) -> None:
    async def work() -> None:
        async with connected(live) as client:
            job = await client.jobs.create(TRAIN)
            waiting = asyncio.create_task(client.jobs.wait(job.id))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(WaitTimeoutError):
                await client.jobs.wait(job.id, timeout=0.2)
            assert (await client.jobs.get(job.id)).state == "queued"

    run(work)


def test_events_come_once_through_a_connection_that_keeps_breaking(live: LiveService) -> None:
    async def work() -> None:
        with CuttingProxy(live.url, per_connection=700) as proxy:
            async with connected(live, proxy.url) as client, connected(live) as direct:
                job = await direct.jobs.create(TRAIN)
                await direct.jobs.cancel(job.id)
                seen = [event.seq async for event in client.jobs.stream(job.id)]
                assert seen == [1, 2, 3]
                assert proxy.connections > 1

    run(work)


def test_a_broken_download_goes_on_and_is_verified(live: LiveService, tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    artifact_id, blob = live.publish(content, tmp_path)

    async def work() -> None:
        with CuttingProxy(live.url, per_connection=300_000) as proxy:
            async with connected(live, proxy.url) as client:
                done = await client.artifacts.download(artifact_id, tmp_path / "out.pt2")
            assert proxy.connections > 5
        assert done.sha256 == blob.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()

    run(work)


def test_refusals_are_the_same_errors(live: LiveService) -> None:
    async def work() -> None:
        async with connected(live) as client:
            with pytest.raises(CleaveApiError) as caught:
                await client.models.get("mdl_0")
            assert caught.value.code == "not_found"

    run(work)


def test_progress_is_drawn_until_the_job_is_over(
    client: CleaveClient, capsys: pytest.CaptureFixture[str]
) -> None:
    job = client.jobs.create(TRAIN)
    client.jobs.cancel(job.id)
    client.jobs.wait(job.id, progress=True)
    drawn = capsys.readouterr().err
    assert job.id in drawn
    assert drawn.endswith("cancelled\n")


def test_the_line_of_progress() -> None:
    out = StringIO()
    draw = ProgressLine(out)
    job = Job.model_validate(
        {
            "id": "job_1", "kind": "train", "state": "running",
            "progress": {"phase": "train", "percent": 50.0, "eta_seconds": 12.3},
        }
    )  # fmt: skip
    draw(job)
    draw(job)
    bar = "[###############...............]"
    assert out.getvalue() == f"\rtrain job_1  {bar}  50 %  running  train  12 s left"
    ended = job.model_copy(update={"state": "succeeded"})
    draw(ended)  # known from an event; what it ended with is read after it
    draw(ended.model_copy(update={"finished_at": datetime.now(UTC), "progress": JobProgress(percent=100.0)}))
    assert out.getvalue().count("\n") == 1
    assert re.search(r"100 %  succeeded *\n$", out.getvalue())
