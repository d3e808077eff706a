"""cleave gc | verify | backup | restore: what is stored, looked after where it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.session import DataDirOption, JsonFlag, installed_settings, local_settings, reported_errors

if TYPE_CHECKING:
    from service.artifacts.collection import CollectionReport, VerificationReport
    from service.backup.service import BackupReport
    from service.platform.database import Database
    from service.platform.storage import ArtifactStore

_DEFAULT_GRACE_HOURS = 24.0


def gc(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    grace_hours: Annotated[
        float | None,
        typer.Option(
            min=0, help="Spare what was stored within so long; default: as the settings say, or 24."
        ),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove stored files that nothing names any more; tell which are named but missing."""
    with reported_errors(ctx), opened_store(data_dir) as (database, store, configured):
        from service.artifacts.collection import collect

        hours = configured or _DEFAULT_GRACE_HOURS if grace_hours is None else grace_hours
        report = collect(database, store, hours * 3600, dry_run=dry_run)
    output.emit(report, as_json, lambda: _show_collection(report))


def verify(ctx: typer.Context, data_dir: DataDirOption = None, as_json: JsonFlag = False) -> None:
    """Read every stored file on record; compare sha256 and size. Exit status 1 if one is bad."""
    with reported_errors(ctx), opened_store(data_dir) as (database, store, _):
        from service.artifacts.collection import verify

        report = verify(database, store)
    output.emit(report, as_json, lambda: _show_verification(report))
    if not report.intact:
        raise typer.Exit(1)


def backup(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy database and files, consistent, while everything runs. Exit status 1 if a file was not right."""
    with reported_errors(ctx):
        from service.backup.service import back_up

        report = back_up(installed_settings(data_dir), folder)
    output.emit(report, as_json, lambda: _show_backup("backed up", report))
    if report.missing:
        raise typer.Exit(1)


def restore(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `cleave backup` wrote.")],
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring a backup into an installation without rows."""
    with reported_errors(ctx):
        from service.backup.service import restore

        report = restore(local_settings(data_dir=data_dir), folder)
    output.emit(report, as_json, lambda: _show_backup("restored", report))


@contextmanager
def opened_store(data_dir: Path | None) -> Iterator[tuple["Database", "ArtifactStore", float | None]]:
    """Database and store of this machine's settings, and the grace that they name."""
    from service.platform.database import Database
    from service.platform.storage import open_store

    settings = installed_settings(data_dir)
    database = Database(settings)
    try:
        yield database, open_store(settings), settings.gc_grace_hours
    finally:
        database.dispose()


def _show_collection(report: "CollectionReport") -> None:
    done = "would be removed" if report.dry_run else "removed"
    pairs: list[tuple[str, output.Cell]] = [
        ("stored", f"{report.stored} files, {output.size(report.stored_bytes)}"),
        (done, f"{report.removed} files, {output.size(report.removed_bytes)}"),
        ("too young to tell", f"{report.young} files"),
        *[("named but missing", sha256) for sha256 in report.missing],
    ]
    output.details("Artifact store", pairs)


def _show_verification(report: "VerificationReport") -> None:
    pairs: list[tuple[str, output.Cell]] = [
        ("verified", f"{report.verified} files, {output.size(report.verified_bytes)}"),
        *[("named but missing", sha256) for sha256 in report.missing],
        *[("damaged", sha256) for sha256 in report.damaged],
        *[("another size on record", sha256) for sha256 in report.wrong_size],
    ]
    output.details("intact" if report.intact else "NOT intact", pairs)


def _show_backup(done: str, report: "BackupReport") -> None:
    pairs: list[tuple[str, output.Cell]] = [
        ("rows", sum(report.rows.values())),
        ("files", f"{report.blobs}, {output.size(report.blob_bytes)}"),
        *[("missing or damaged", sha256) for sha256 in report.missing],
    ]
    output.details(done, pairs)
