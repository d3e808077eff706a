"""What uploads leave: parts that nobody completes, parts that have been read, bodies that broke off."""

import time

from service.artifacts import service as artifacts
from service.platform.database import Database
from service.platform.settings import Settings
from service.platform.storage import open_store
from service.uploads import repository

# A part that has just arrived again has no row yet.
_GRACE_S = 120.0
_BROKEN_OFF_S = 3600.0


def forget(database: Database, settings: Settings) -> None:
    """Remove expired uploads, and their parts from the store unless something else is made of them."""
    _tidy(settings)
    with database.read() as session:
        expired = repository.expired(session)
    if not expired:
        return
    store = open_store(settings)
    for upload_id in expired:
        with database.write() as session:
            if not repository.take_expired(session, upload_id):  # a job reads it since
                continue
            digests = repository.digests(session, upload_id)
            repository.remove(session, upload_id)
        with database.read() as session:
            spare = digests - artifacts.named(session, digests)
        for sha256 in spare:
            store.remove(sha256, _GRACE_S)


def _tidy(settings: Settings) -> None:
    """Bodies that were being received when their process was killed."""
    if settings.upload_root.is_dir():
        for path in settings.upload_root.iterdir():
            if path.stat().st_mtime < time.time() - _BROKEN_OFF_S:
                path.unlink(missing_ok=True)
