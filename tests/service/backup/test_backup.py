"""Backups under load, restored into another installation of either engine; refused where something is."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Select, Table, func, select, text

from service.artifacts.collection import collect, verify
from service.artifacts.tables import Artifact, ArtifactLink
from service.backup.service import back_up, restore
from service.jobs.tables import Job, JobEvent
from service.models.tables import Metric, Model
from service.platform.database import Database
from service.platform.errors import BackupInvalidError, NotEmptyError
from service.platform.settings import Settings
from service.platform.storage import open_store
from service.tables import metadata
from tests.fixtures.client import Account, Api, Registry, open_api
from tests.fixtures.database import copy_sqlite, migrated, postgres_url, settings_for
from tests.service.cli.test_commands import cleave


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """An installation that does not exist yet."""
    folder = tmp_path / "target"
    if request.param == "sqlite":
        yield settings_for(folder)
        return
    request.getfixturevalue("postgres_template")  # skips where there is no server
    with postgres_url() as url:
        yield settings_for(folder, database_url=url)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    yield database
    database.dispose()


def contents(database: Database) -> dict[str, list[dict[str, object]]]:
    with database.engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(_ordered(table)).mappings()]
            for table in metadata.sorted_tables
        }


def without_error(database: Database) -> int:
    """SQL's NULL, which Python cannot tell from JSON's null."""
    with database.read() as session:
        return session.scalar(text("SELECT count(*) FROM jobs WHERE error IS NULL")) or 0


def _ordered(table: Table) -> Select[Any]:
    """All of a row but its revision, which is of one installation: SQLite revises as the rows come back."""
    kept = [column for column in table.columns if column.name != "revision"]
    return select(*kept).order_by(*table.primary_key)


class TestQuiet:
    def test_everything_is_there_again(
        self, api: Api, account: Account, target: Settings, tmp_path: Path
    ) -> None:
        model_id = account.registry.train()
        account.registry.extract(model_id, {"cat": 0.9, "dog": None})
        account.registry.compose({"classes": ["cat"]})
        second = account.registry.train()
        with api.database.write() as session:  # an older row that names a younger one
            session.get_one(Model, model_id).initial_model_id = second
        account.http.post("/v1/jobs", json={"kind": "evaluate", "target_id": model_id})
        report = back_up(api.settings, tmp_path / "backup")
        restore(target, tmp_path / "backup")
        assert report.missing == []
        with opened(target) as database:
            assert contents(database) == contents(api.database)
            assert without_error(database) == without_error(api.database) > 0
            assert verify(database, open_store(target)).intact
            with open_api(target, database) as again:
                self._works(account, again)

    def _works(self, account: Account, again: Api) -> None:
        """The same key opens the same files under the same ETags, and new rows get numbers of their own."""
        url = account.http.get("/v1/models").json()["data"][0]["artifacts"][0]["url"]
        before, after = account.http.get(url), httpx.get(again.url + url, headers=account.http.headers)
        assert (after.status_code, after.content) == (200, before.content)
        assert (
            after.headers["ETag"]
            == before.headers["ETag"]
            == f'"{hashlib.sha256(after.content).hexdigest()}"'
        )
        for model in account.http.get("/v1/models").json()["data"]:
            for path in (f"/v1/models/{model['id']}", f"/v1/models/{model['id']}/bundle"):
                tags = [
                    httpx.get(url + path, headers=account.http.headers).headers["ETag"]
                    for url in (str(account.http.base_url), again.url)
                ]
                assert tags[0] == tags[1]
        Registry(again.database, again.settings, account.tenant_id).train()
        with again.database.read(account.tenant_id) as session:
            assert session.scalar(select(func.count(Model.id))) == 3
            assert session.scalar(select(func.count(Metric.id))) == session.scalar(
                select(func.count(func.distinct(Metric.id)))
            )


def test_under_load(api: Api, account: Account, tmp_path: Path) -> None:
    """Models come and go, files are collected, and the backup is of one moment."""
    stop, target = threading.Event(), settings_for(tmp_path / "target")
    store = open_store(api.settings)

    def work(number: int) -> None:
        registry = Registry(api.database, api.settings, account.tenant_id, _files=number * 10**6)
        while not stop.is_set():
            kept, gone = registry.train(), registry.train()
            registry.extract(kept, {"cat": 0.9})
            assert account.http.delete(f"/v1/models/{gone}").status_code == 204

    def remove() -> None:
        while not stop.is_set():
            collect(api.database, store, 60.0)

    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(work, 1), pool.submit(work, 2), pool.submit(remove)]
        try:
            reports = [back_up(api.settings, tmp_path / f"backup{n}") for n in range(2)]
        finally:
            stop.set()
    for other in others:
        other.result()
    assert [report.missing for report in reports] == [[]] * 2
    assert reports[0].rows["jobs"] < reports[-1].rows["jobs"], (
        "nothing was written meanwhile: nothing was shown"
    )
    restore(target, tmp_path / "backup1")
    with opened(target) as database:
        assert verify(database, open_store(target)).intact
        assert halves(database, account.tenant_id) == []
        with database.read() as session:
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []


def halves(database: Database, tenant_id: str) -> list[str]:
    """The tenant's jobs of which not all is there that one transaction wrote: state, event, model, files."""
    with database.read() as session:
        told = set(session.scalars(select(JobEvent.job_id).where(JobEvent.type == "job.done")))
        files = {
            row.job_id: row.count
            for row in session.execute(
                select(Model.job_id, func.count(ArtifactLink.role).label("count"))
                .outerjoin(ArtifactLink, ArtifactLink.owner_id == Model.id)
                .group_by(Model.job_id)
            )
        }
        return [
            job.id
            for job in session.scalars(select(Job).where(Job.tenant_id == tenant_id))
            if (job.state == "succeeded") != (job.id in told) or files.get(job.id, 3) != 3
        ]


class TestRefusals:
    @pytest.fixture
    def filled(self, tmp_path: Path) -> Settings:
        settings = settings_for(tmp_path / "source")
        copy_sqlite(settings)
        with opened(settings) as database:
            with database.read() as session:
                (tenant,) = session.execute(text("SELECT id FROM tenants")).scalars()
            Registry(database, settings, tenant).train()
        return settings

    def test_neither_goes_where_something_is(self, filled: Settings, tmp_path: Path) -> None:
        back_up(filled, tmp_path / "backup")
        with pytest.raises(NotEmptyError, match="is not empty"):
            back_up(filled, tmp_path / "backup")
        with pytest.raises(NotEmptyError, match="rows already"):
            restore(filled, tmp_path / "backup")
        other = settings_for(tmp_path / "other")
        (tmp_path / "stray").write_bytes(b"stray")
        open_store(other).ingest(tmp_path / "stray")
        with pytest.raises(NotEmptyError, match="files already"):
            restore(other, tmp_path / "backup")

    def test_what_is_missing_is_told_and_the_rest_is_kept(self, filled: Settings, tmp_path: Path) -> None:
        with opened(filled) as database, database.read() as session:
            lost, damaged, good = sorted(session.scalars(select(Artifact.sha256)))
        store = open_store(filled)
        store.path(lost).unlink()
        store.path(damaged).chmod(0o644)
        store.path(damaged).write_bytes(b"damaged")
        done = cleave("backup", str(tmp_path / "backup"), "--data-dir", str(filled.home), "--json")
        assert (done.exit_code, json.loads(done.stdout)["missing"]) == (1, [lost, damaged])
        target = settings_for(tmp_path / "target")
        again = cleave("restore", str(tmp_path / "backup"), "--data-dir", str(target.home))
        assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "restored")
        assert [blob.sha256 for blob in open_store(target).blobs()] == [good]

    @pytest.mark.parametrize("harm", ["unfinished", "row", "rows", "file", "content", "revision"])
    def test_a_bad_backup_leaves_nothing_on_record(self, filled: Settings, tmp_path: Path, harm: str) -> None:
        folder = tmp_path / "backup"
        back_up(filled, folder)
        rows, blob = folder / "rows" / "metrics.jsonl", next((folder / "blobs").glob("??/*"))
        blob.chmod(0o644)
        told = json.loads((folder / "backup.json").read_text())
        harms: dict[str, Callable[[], object]] = {
            "unfinished": lambda: (folder / "backup.json").unlink(),
            "row": lambda: rows.write_text(rows.read_text()[:-9]),
            "rows": lambda: rows.write_text("".join(rows.read_text().splitlines(keepends=True)[1:])),
            "file": blob.unlink,
            "content": lambda: blob.write_bytes(b"other"),
            "revision": lambda: (folder / "backup.json").write_text(json.dumps(told | {"revision": "0"})),
        }
        harms[harm]()
        target = settings_for(tmp_path / "target")
        with pytest.raises(BackupInvalidError):
            restore(target, folder)
        with migrated(target) as database, database.read() as session:
            assert session.scalar(select(func.count(Model.id))) == 0

    def test_the_key_is_for_nobody_else(self, filled: Settings, tmp_path: Path) -> None:
        (filled.home / "secret.key").write_text("pepper")
        back_up(filled, tmp_path / "backup")
        assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
        other = settings_for(tmp_path / "other")
        restore(other, tmp_path / "backup")
        assert (other.home / "secret.key").read_text() == "pepper"
        assert (other.home / "secret.key").stat().st_mode & 0o077 == 0
