"""Migrations: up, down, no drift, many starters at once; on each kind of database."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, inspect, select, text
from sqlalchemy.exc import IntegrityError

from service import migrate
from service.jobs.tables import Job
from service.models.tables import Model
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.errors import DatabaseForeignError
from service.platform.settings import Settings
from service.tables import metadata
from tests.fixtures.database import postgres_answers, postgres_url, settings_for
from tests.fixtures.rows import Rows

KINDS = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])


@pytest.fixture
def blank(kind: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a database without tables."""
    if kind == "sqlite":
        yield settings_for(tmp_path)
        return
    if not postgres_answers():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL does not answer on 127.0.0.1")
    with postgres_url() as url:
        yield settings_for(tmp_path, database_url=url)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    try:
        yield database
    finally:
        database.dispose()


def tables(settings: Settings) -> set[str]:
    with opened(settings) as database:
        return set(inspect(database.engine).get_table_names())


@KINDS
def test_up_down_up(blank: Settings) -> None:
    migrate.upgrade(blank)
    assert tables(blank) == set(metadata.tables) | {"alembic_version"}
    migrate.downgrade(blank, "base")
    assert tables(blank) == {"alembic_version"}
    migrate.upgrade(blank)
    assert tables(blank) == set(metadata.tables) | {"alembic_version"}


@KINDS
def test_the_migrations_lead_to_the_declared_tables(blank: Settings) -> None:
    migrate.upgrade(blank)
    with opened(blank) as database:
        assert migrate.current(database.engine) == migrate.head()
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []


@KINDS
def test_many_starters_at_once(blank: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    starters = [context.Process(target=migrate.upgrade, args=(blank,)) for _ in range(3)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0, 0, 0]
    with opened(blank) as database, database.read() as session:
        assert session.execute(text("SELECT name FROM tenants")).scalars().all() == ["default"]


@KINDS
def test_a_database_of_a_newer_version_is_left_alone(blank: Settings) -> None:
    migrate.upgrade(blank)
    with opened(blank) as database, database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    with pytest.raises(DatabaseForeignError, match="from_the_future"):
        migrate.upgrade(blank)


def test_foreign_keys_are_enforced_after_an_upgrade(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    migrate.upgrade(settings)
    with opened(settings) as database, database.read() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1


@KINDS
def test_an_imported_model_without_a_dataset_survives_downgrades_and_is_as_before(blank: Settings) -> None:
    migrate.upgrade(blank)
    with opened(blank) as database, database.write() as session:
        (tenant_id,) = session.execute(text("SELECT id FROM tenants")).one()
        job = Job(
            id="job_1", tenant_id=tenant_id, kind="import_model", state="queued", spec={}, spec_sha256="",
            priority=50, queued_at=db_now(),
        )  # fmt: skip
        model = Model(
            id="mdl_1", tenant_id=tenant_id, job_id="job_1", origin="imported", architecture="small_cnn",
            approach="standard", recipe="published", input_shape=[1, 8, 8], units={}, parameters=1, flops=1,
            versions={},
        )  # fmt: skip
        session.add(job)
        session.flush()
        session.add(model)
    for _ in range(2):
        migrate.downgrade(blank, "20261126_032000")
        with opened(blank) as database, database.read() as session:
            kept = "SELECT m.seed, d.name FROM models m JOIN datasets d ON d.id = m.dataset_id"
            assert session.execute(text(kept)).all() == [(0, "none")]
        migrate.upgrade(blank, "20261126_041000")
        with opened(blank) as database, database.read() as session:
            told = session.execute(text("SELECT origin, seed, dataset_id FROM models")).all()
            assert (told, session.execute(text("SELECT id FROM datasets")).all()) == (
                [("imported", None, None)],
                [],
            )


class TestKeysOfTwoColumns:
    """The step after which rows name rows of their own tenant only."""

    BEFORE, AFTER = "20261126_055000", "20261126_060000"

    @staticmethod
    def rows(settings: Settings) -> dict[str, list[dict[str, Any]]]:
        found = MetaData()
        with opened(settings) as database, database.engine.connect() as connection:
            found.reflect(connection)
            return {
                name: [dict(row) for row in connection.execute(select(table)).mappings()]
                for name, table in found.tables.items()
                if name != "alembic_version"
            }

    @staticmethod
    def fill(settings: Settings, *, mixed: bool = False) -> None:
        """A row of each table; `mixed`: and one that names another tenant's."""
        found = MetaData()
        with opened(settings) as database, database.engine.begin() as connection:
            found.reflect(connection)
            rows = Rows(connection, found)
            own, other = rows.tenant(), rows.tenant()
            for table in found.tables.keys() - {"alembic_version", "tenants"}:
                rows.insert(table, own)
            # The one column that was a reference without a key, and never null.
            connection.execute(
                text("UPDATE compositions SET job_id = (SELECT min(id) FROM jobs WHERE tenant_id = :own)"),
                {"own": own},
            )
            if mixed:
                rows.insert("modules", own, model_id=rows.insert("models", other)["id"])

    @KINDS
    def test_every_row_is_kept_on_the_way_up_and_down(self, blank: Settings) -> None:
        migrate.upgrade(blank, self.BEFORE)
        self.fill(blank)
        before = self.rows(blank)
        assert all(before.values())
        migrate.upgrade(blank, self.AFTER)
        after = self.rows(blank)
        owners = {job["id"]: job["tenant_id"] for job in after["jobs"]}
        for name in ("checkpoints", "job_attempts"):
            for row in after[name]:
                assert row.pop("tenant_id") == owners[row["job_id"]]
        assert after == before
        migrate.downgrade(blank, self.BEFORE)
        assert self.rows(blank) == before

    def test_every_trigger_is_kept_on_the_way_up_and_down(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path)
        migrate.upgrade(settings, self.BEFORE)
        before = self.triggers(settings)
        assert len(before) > 3
        migrate.upgrade(settings, self.AFTER)
        assert self.triggers(settings) == before
        migrate.downgrade(settings, self.BEFORE)
        assert self.triggers(settings) == before

    @staticmethod
    def triggers(settings: Settings) -> dict[str, str]:
        with opened(settings) as database, database.engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            return {name: str(sql) for name, sql in found}

    @KINDS
    def test_a_row_that_names_another_tenants_stops_it(self, blank: Settings) -> None:
        migrate.upgrade(blank, self.BEFORE)
        self.fill(blank, mixed=True)
        before = self.rows(blank)
        with pytest.raises((IntegrityError, RuntimeError)):
            migrate.upgrade(blank, self.AFTER)
        with opened(blank) as database:
            assert migrate.current(database.engine) == self.BEFORE
        assert self.rows(blank) == before


@KINDS
def test_an_earlier_version_hears_of_no_webhook_that_was_turned_off(blank: Settings) -> None:
    migrate.upgrade(blank)
    with opened(blank) as database:
        with database.engine.begin() as connection:
            rows = Rows(connection, metadata)
            tenant = rows.tenant()
            both, only = (
                rows.insert("webhooks", tenant, all_jobs=True, events=[*others, "webhook.disabled"])["id"]
                for others in (["job.failed"], [])
            )
            for webhook_id, type_ in ((both, "webhook.disabled"), (both, "job.failed"), (only, "test")):
                rows.insert("webhook_deliveries", tenant, webhook_id=webhook_id, type=type_)
        migrate.downgrade(blank, "20261126_121000")
        with database.engine.connect() as connection:
            kept = metadata.tables["webhooks"].c
            events = select(kept.id, kept.events).where(kept.id.in_([both, only]))
            assert connection.execute(events).all() == [(both, ["job.failed"])]
            left = text(f"SELECT type FROM webhook_deliveries WHERE webhook_id IN ('{both}', '{only}')")
            assert connection.execute(left).scalars().all() == ["job.failed"]


@KINDS
def test_labels_know_what_carries_them(blank: Settings) -> None:
    migrate.upgrade(blank, "20261126_130000")
    found = MetaData()
    with opened(blank) as database:
        with database.engine.begin() as connection:
            found.reflect(connection)
            rows = Rows(connection, found)
            tenant = rows.tenant()
            models = [rows.insert("models", tenant, id=f"mdl_{n}", revision=n)["id"] for n in range(2)]
            for owner in (*models, "mod_1", "cmp_1"):
                rows.insert("labels", tenant, owner_id=owner, parameters=3)
        revisions = text("SELECT id, revision FROM models ORDER BY id")
        labels = text("SELECT * FROM labels ORDER BY owner_id")
        with database.engine.connect() as connection:
            told = connection.execute(revisions).all()
            before = [dict(row) for row in connection.execute(labels).mappings()]
        migrate.upgrade(blank, "20261126_134500")
        with database.engine.connect() as connection:
            after = [dict(row) for row in connection.execute(labels).mappings()]
            assert [row.pop("kind") for row in after] == ["cmp", "mdl", "mdl", "mod"]
            assert (after, connection.execute(revisions).all()) == (before, told)
        migrate.downgrade(blank, "20261126_130000")
        with database.engine.connect() as connection:
            assert [dict(row) for row in connection.execute(labels).mappings()] == before


def test_files_have_their_roles_again_and_webhooks_of_some_jobs_leave_nothing(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    migrate.upgrade(settings)
    with opened(settings) as database:
        with database.engine.begin() as connection:
            rows = Rows(connection, metadata)
            tenant = rows.tenant()
            linked = rows.insert("artifact_links", tenant, role="weights")["artifact_id"]
            unlinked = rows.insert("artifacts", tenant)["id"]
            rows.insert("webhook_deliveries", tenant)
            connection.execute(text("UPDATE webhooks SET all_jobs = false"))
        migrate.downgrade(settings, "20261126_111000")
        with database.engine.connect() as connection:
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        migrate.upgrade(settings)
        with database.read() as session:
            roles = session.execute(text("SELECT id, role FROM artifacts")).tuples().all()
            assert dict(roles) == {linked: "weights", unlinked: "other"}
