"""A whole installation into a folder while it works, and from the folder into an empty one.

    <folder>/backup.json     what it is; written last, so a folder without it is no backup
    <folder>/rows/           every row, by `service.backup.rows`
    <folder>/blobs/          every stored file that a row names, by digest
    <folder>/secret.key      what the hashes of API keys depend on, unless CLEAVE_SECRET_KEY holds it

Checkpoints, staging and messages are not in it: an interrupted training begins anew.
"""

import os
import shutil
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import Connection

from service import migrate
from service.artifacts import repository as artifacts
from service.backup import rows
from service.platform.database import Database
from service.platform.errors import ArtifactMissingError, BackupInvalidError, NotEmptyError
from service.platform.local_store import LocalStore
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore, open_store

_FORMAT = "cleave.backup/1"


class BackupReport(BaseModel):
    """What is in a backup. `missing` holds digests on record that were not in the store, or damaged."""

    format: str = _FORMAT
    revision: str
    created_at: datetime
    rows: dict[str, int]
    blobs: int = 0
    blob_bytes: int = 0
    missing: list[str] = Field(default_factory=list)


def back_up(settings: Settings, folder: Path) -> BackupReport:
    """Write a backup into a new or empty folder. Raises NotEmptyError, UnavailableError.

    Files are copied before the rows are read and again after: what the rows then name is either copied
    already, or so new that no collection removes it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise NotEmptyError(f"{folder} is not empty.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    source, target, database = open_store(settings), LocalStore(folder), Database(settings)
    try:
        with database.read() as session:
            early = artifacts.each_named(session)
        _copy(early, source, target, folder / "incoming")
        with rows.snapshot(database.engine) as connection:
            named = _named(connection)
            report = BackupReport(
                revision=str(migrate.current(database.engine)),
                created_at=datetime.now(UTC),
                rows=rows.dump(connection, folder / "rows"),
            )
    finally:
        database.dispose()
    report.missing = _copy(named, source, target, folder / "incoming")
    for blob in target.blobs():
        if blob.sha256 not in named:  # its row went while the first files were copied
            target.remove(blob.sha256, float("-inf"))
        else:
            report.blobs, report.blob_bytes = report.blobs + 1, report.blob_bytes + blob.size
    if settings.secret_key is None and (settings.home / "secret.key").is_file():
        shutil.copy(settings.home / "secret.key", folder / "secret.key")
    shutil.rmtree(folder / "incoming")
    _write(folder / "backup.json", report.model_dump_json(indent=2))
    return report


def restore(settings: Settings, folder: Path) -> BackupReport:
    """Bring a backup into an installation without rows. Raises NotEmptyError, BackupInvalidError."""
    report = _read_report(folder)
    migrate.upgrade(settings)
    if report.revision != migrate.head():
        raise BackupInvalidError(
            f"The backup is of revision {report.revision}, this version of {migrate.head()}. Restore it with "
            "the version that wrote it, then `cleave db upgrade`."
        )
    source, target, database = LocalStore(folder), open_store(settings), Database(settings)
    held = {blob.sha256 for blob in source.blobs()}
    try:
        with database.engine.connect() as connection:
            if rows.count(connection, without="tenants"):
                raise NotEmptyError("The database has rows already. Restore into a new one.")
        if any(blob.sha256 not in held for blob in target.blobs()):
            raise NotEmptyError("The artifact store has files already that are not in the backup.")
        _restore_secret(settings, folder)
        damaged = _copy(held, source, target, settings.artifact_root / "incoming")
        if damaged:
            raise BackupInvalidError(f"{len(damaged)} files are damaged, e.g. {damaged[0]}.")
        # Files first, as always: the rows make them visible, all at once.
        with database.engine.execution_options(write=True).begin() as connection:
            rows.load(connection, folder / "rows", report.rows)
            lost = set(_named(connection)) - held - set(report.missing)
            if lost:
                raise BackupInvalidError(f"{len(lost)} files are not in the backup, e.g. {min(lost)}.")
    finally:
        database.dispose()
    return report


def _copy(digests: Iterable[str], source: ArtifactStore, target: ArtifactStore, scratch: Path) -> list[str]:
    """Copy what is not there yet, reading every byte. Returns what is missing or has another digest."""
    bad = []
    scratch.mkdir(parents=True, exist_ok=True)
    for sha256 in sorted(digests):
        if target.exists(sha256):
            continue
        path = scratch / uuid.uuid4().hex
        try:
            with path.open("wb") as file:
                file.writelines(source.open_range(sha256))
            if target.ingest(path).sha256 != sha256:
                bad.append(sha256)
        except ArtifactMissingError:
            bad.append(sha256)
        finally:
            path.unlink(missing_ok=True)
    return bad


def _named(connection: Connection) -> set[str]:
    return set(connection.scalars(artifacts.naming()))


def _restore_secret(settings: Settings, folder: Path) -> None:
    kept, target = folder / "secret.key", settings.home / "secret.key"
    if settings.secret_key is not None or not kept.is_file():
        return
    if target.is_file() and target.read_bytes() != kept.read_bytes():
        raise NotEmptyError(f"{target} is another key. Restore into a new data folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(kept, target)
    target.chmod(0o600)


def _read_report(folder: Path) -> BackupReport:
    try:
        report = BackupReport.model_validate_json((folder / "backup.json").read_text())
    except (FileNotFoundError, NotADirectoryError, ValidationError) as error:
        raise BackupInvalidError(f"{folder} is no finished backup: it has no valid backup.json.") from error
    if report.format != _FORMAT:
        raise BackupInvalidError(f"{folder} has the format {report.format}, which this version cannot read.")
    return report


def _write(path: Path, content: str) -> None:
    """Complete or not at all."""
    partial = path.with_suffix(".tmp")
    with partial.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
