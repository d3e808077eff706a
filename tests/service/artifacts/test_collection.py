"""Collection and verification against a brute-force scan; nothing that is named is ever removed."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from service.artifacts import service as artifacts
from service.artifacts.collection import collect, verify
from service.artifacts.tables import Artifact, ArtifactLink
from service.jobs.service import enqueue
from service.platform.database import Database
from service.platform.errors import ArtifactMissingError
from service.platform.ids import new_id
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore, StoredBlob, open_store
from service.upkeep import Upkeep
from service.uploads.tables import Upload, UploadPart
from tests.fixtures.database import default_tenant, empty
from tests.fixtures.jobs import train_spec

DAY_S = 86_400.0


@dataclass
class Shelf:
    """A store and a database, filled directly: contents, and owners that name them."""

    database: Database
    store: ArtifactStore
    scratch: Path
    tenant: str
    job: str = ""
    _count: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def __post_init__(self) -> None:
        with self.database.write() as session:
            self.job = enqueue(session, self.tenant, train_spec()).id

    def stored(self, content: bytes) -> StoredBlob:
        source = self.scratch / f"{next(self._count)}-{threading.get_ident()}"
        source.write_bytes(content)
        return self.store.ingest(source)

    def named(self, blob: StoredBlob, owner: str) -> str:
        artifact = Artifact(
            id=new_id("art"), tenant_id=self.tenant, job_id=self.job, filename="f", media_type="a/b",
            sha256=blob.sha256, size=blob.size,
        )  # fmt: skip
        with self.database.write() as session:
            session.add(artifact)
            session.flush()
            session.add(
                ArtifactLink(
                    tenant_id=self.tenant, owner_id=owner, role=artifact.id[4:32], artifact_id=artifact.id
                )
            )
        return artifact.id

    def release(self, owner: str) -> None:
        with self.database.write() as session:
            artifacts.remove_of(session, owner)

    def on_record(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(select(Artifact.sha256)))

    def in_store(self) -> set[str]:
        return {blob.sha256 for blob in self.store.blobs()}


@pytest.fixture
def shelf(database: Database, store: ArtifactStore, tenant: str, tmp_path: Path) -> Shelf:
    return Shelf(database, store, tmp_path, tenant)


class TestCollection:
    def test_only_what_nothing_names_goes(self, shelf: Shelf) -> None:
        kept, gone = shelf.stored(b"kept"), shelf.stored(b"gone!")
        shelf.named(kept, "mdl_1")
        absent = shelf.stored(b"absent")
        shelf.named(absent, "mdl_1")
        shelf.store.remove(absent.sha256, -DAY_S)
        rehearsal = collect(shelf.database, shelf.store, -DAY_S, dry_run=True)
        assert shelf.in_store() == {kept.sha256, gone.sha256}
        report = collect(shelf.database, shelf.store, -DAY_S)
        assert shelf.in_store() == {kept.sha256}
        assert (report.stored, report.stored_bytes) == (2, 9)
        assert (report.removed, report.removed_bytes, report.young) == (1, 5, 0)
        assert report.missing == [absent.sha256]
        assert rehearsal == report.model_copy(update={"dry_run": True})

    def test_what_was_stored_within_the_grace_stays(self, shelf: Shelf) -> None:
        young = shelf.stored(b"young")
        report = collect(shelf.database, shelf.store, DAY_S)
        assert (report.removed, report.young) == (0, 1)
        assert shelf.in_store() == {young.sha256}

    def test_content_of_two_owners_goes_with_the_last(self, shelf: Shelf) -> None:
        blob = shelf.stored(b"shared")
        for owner in ("mdl_1", "mod_2"):
            shelf.named(blob, owner)
        shelf.release("mdl_1")
        collect(shelf.database, shelf.store, -DAY_S)
        assert shelf.in_store() == {blob.sha256}
        shelf.release("mod_2")
        collect(shelf.database, shelf.store, -DAY_S)
        assert shelf.in_store() == set()

    def test_the_parts_of_an_upload_stay(self, shelf: Shelf) -> None:
        part, gone = shelf.stored(b"part"), shelf.stored(b"gone")
        upload = Upload(
            id=new_id("upl"), tenant_id=shelf.tenant, owner_id="ds_1", filename="f", size=4, sha256="0" * 64,
            part_size=4, expires_at=datetime.now(UTC),
        )  # fmt: skip
        with shelf.database.write() as session:
            session.add(upload)
            session.flush()
            row = UploadPart(
                upload_id=upload.id, number=1, tenant_id=shelf.tenant, sha256=part.sha256, size=4
            )
            session.add(row)
        assert shelf.in_store() == {part.sha256, gone.sha256}
        collect(shelf.database, shelf.store, -DAY_S)
        assert shelf.in_store() == {part.sha256}

    def test_the_dispatcher_does_it_where_the_settings_say_so(
        self, shelf: Shelf, store_settings: Settings
    ) -> None:
        blob = shelf.stored(b"gone")
        Upkeep(shelf.database, store_settings).collect()
        soon = store_settings.model_copy(update={"gc_grace_hours": 1e-9})
        assert shelf.in_store() == {blob.sha256}
        time.sleep(1.1 if store_settings.stores_in_s3 else 0.01)  # S3 tells ages in whole seconds
        Upkeep(shelf.database, soon).collect()
        assert shelf.in_store() == set()


class TestVerification:
    def test_it_agrees_with_what_was_done_to_the_store(self, shelf: Shelf) -> None:
        good, empty_one, lost = (shelf.stored(content) for content in (b"good", b"", b"lost"))
        misled = StoredBlob(good.sha256, 99)
        for blob in (good, empty_one, lost):
            shelf.named(blob, "mdl_1")
        assert verify(shelf.database, shelf.store).intact
        shelf.named(misled, "mdl_1")
        assert shelf.store.remove(lost.sha256, -DAY_S)
        shelf.stored(b"nobody's")
        report = verify(shelf.database, shelf.store)
        assert not report.intact
        assert (report.verified, report.verified_bytes) == (2, 4)
        assert (report.missing, report.damaged, report.wrong_size) == ([lost.sha256], [], [good.sha256])

    def test_damage(self, database: Database, tenant: str, tmp_path: Path) -> None:
        store = open_store(Settings(data_dir=tmp_path / "home"))
        shelf = Shelf(database, store, tmp_path, tenant)
        blob = shelf.stored(b"content")
        shelf.named(blob, "mdl_1")
        path = store.path(blob.sha256)
        path.chmod(0o644)
        path.write_bytes(b"CONTENT")
        assert verify(database, store).damaged == [blob.sha256]


_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "orphan", "release", "lose", "age"]), st.integers(0, 4), st.integers(0, 2)
    ),
    max_size=14,
)  # fmt: skip


class TestAgainstBruteForce:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(actions=_ACTIONS)
    def test_any_history(
        self, database: Database, tmp_path: Path, actions: list[tuple[str, int, int]]
    ) -> None:
        """Contents 0 to 4, owners 0 to 2; `age` makes a blob old."""
        empty(database)
        home = tmp_path / new_id("req")
        home.mkdir()
        store = open_store(Settings(data_dir=home))
        shelf = Shelf(database, store, home, default_tenant(database))
        old: set[str] = set()
        for action, content, owner in actions:
            sha256 = hashlib.sha256(bytes([content])).hexdigest()
            if action in ("publish", "orphan"):
                blob = shelf.stored(bytes([content]))
                old.discard(sha256)
                if action == "publish":
                    shelf.named(blob, f"mdl_{owner}")
            elif action == "release":
                shelf.release(f"mdl_{owner}")
            elif store.exists(sha256):
                if action == "lose":
                    store.path(sha256).unlink()
                else:
                    os.utime(store.path(sha256), (1, 1))
                    old.add(sha256)
        before, named = shelf.in_store(), shelf.on_record()
        rehearsal = collect(database, store, DAY_S, dry_run=True)
        assert shelf.in_store() == before
        report = collect(database, store, DAY_S)
        after = shelf.in_store()
        assert after == {sha for sha in before if sha in named or sha not in old}
        assert set(report.missing) == named - before == set(verify(database, store).missing)
        assert report.removed == len(before - after) == rehearsal.removed
        assert report.young == len(after - named)

    def test_publication_at_the_same_time(self, database: Database, tenant: str, tmp_path: Path) -> None:
        """Three publish and drop a content of their own, two collect; what is published is there."""
        store = open_store(Settings(data_dir=tmp_path / "home"))
        shelf = Shelf(database, store, tmp_path, tenant)
        removed: list[int] = []
        started = time.monotonic()

        # Longer on a slow machine: until enough was collected for something to be shown.
        def going_on() -> bool:
            elapsed = time.monotonic() - started
            return elapsed < 2.5 or (sum(removed) <= 3 and elapsed < 60)

        def publish(number: int) -> None:
            while going_on():
                blob = shelf.stored(bytes([number]))
                owner = new_id("mdl")
                shelf.named(blob, owner)
                assert b"".join(store.open_range(blob.sha256)) == bytes([number])
                shelf.release(owner)
                with suppress(ArtifactMissingError, FileNotFoundError):
                    os.utime(store.path(blob.sha256), (1, 1))  # old enough to be collected

        def remove(_: int) -> None:
            while going_on():
                removed.append(collect(database, store, 60.0).removed)

        with ThreadPoolExecutor(5) as pool:
            work = [pool.submit(publish, n) for n in range(3)] + [pool.submit(remove, n) for n in range(2)]
        for done in work:
            done.result()
        assert sum(removed) > 3, "nothing was ever collected, so nothing was shown"
