"""What the store holds against what the database names: collecting what nothing names, verifying the rest.

A blob is stored before the row that names it is written, so what nothing names is garbage only once it has
been there for longer than any publication takes: the grace.
"""

import hashlib
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, Field

from service.artifacts import repository
from service.platform.database import Database
from service.platform.errors import ArtifactMissingError
from service.platform.storage import ArtifactStore, FoundBlob

_AT_ONCE = 500
# Far longer than any call of the store takes.
LEFTOVER_S = 3600.0


class CollectionReport(BaseModel):
    """What a pass over the store found. Sizes in bytes."""

    dry_run: bool
    stored: int = Field(0, description="Blobs in the store, before.")
    stored_bytes: int = 0
    removed: int = Field(0, description="Blobs that nothing names; with dry_run they are still there.")
    removed_bytes: int = 0
    young: int = Field(0, description="Blobs that nothing names yet, stored within the grace.")
    missing: list[str] = Field(default_factory=list, description="Digests on record without a blob.")


class VerificationReport(BaseModel):
    """What reading every blob that is on record found; the lists hold digests."""

    verified: int = 0
    verified_bytes: int = 0
    missing: list[str] = Field(default_factory=list, description="On record, but not in the store.")
    damaged: list[str] = Field(default_factory=list, description="The content has another digest.")
    wrong_size: list[str] = Field(default_factory=list, description="On record with another size.")

    @property
    def intact(self) -> bool:
        return not (self.missing or self.damaged or self.wrong_size)


def collect(
    database: Database, store: ArtifactStore, grace_s: float, *, dry_run: bool = False
) -> CollectionReport:
    """Remove what nothing has named for `grace_s` seconds; report what is named and not there.

    May run beside everything else, also twice at a time. Raises UnavailableError.
    """
    report = CollectionReport(dry_run=dry_run)
    if not dry_run:
        store.tidy(max(grace_s, LEFTOVER_S))
    seen: set[bytes] = set()
    for blobs in _batches(store.blobs()):
        with database.read() as session:
            named = repository.named(session, [blob.sha256 for blob in blobs])
        for blob in blobs:
            seen.add(bytes.fromhex(blob.sha256))
            report.stored += 1
            report.stored_bytes += blob.size
            if blob.sha256 in named:
                continue
            # The store looks at the age again: what was stored anew since the question above stays.
            if blob.age_s < grace_s or not (dry_run or store.remove(blob.sha256, grace_s)):
                report.young += 1
            else:
                report.removed += 1
                report.removed_bytes += blob.size
    with database.read() as session:
        absent = [sha for sha in repository.each_named(session) if bytes.fromhex(sha) not in seen]
    # Asked one by one, because some were stored while we listed.
    report.missing = sorted(sha for sha in absent if not store.exists(sha))
    return report


def verify(database: Database, store: ArtifactStore) -> VerificationReport:
    """Read every blob that is on record and compare digest and size. Raises UnavailableError."""
    report = VerificationReport()
    with database.read() as session:
        digests = sorted(repository.each_named(session))
        sizes = repository.sizes(session)
    for sha256 in digests:
        try:
            found, size = _read(store, sha256)
        except ArtifactMissingError:
            report.missing.append(sha256)
            continue
        report.verified += 1
        report.verified_bytes += size
        if found != sha256:
            report.damaged.append(sha256)
        if sizes.get(sha256, {size}) != {size}:
            report.wrong_size.append(sha256)
    return report


def _read(store: ArtifactStore, sha256: str) -> tuple[str, int]:
    """The digest and size of what is really there."""
    digest, size = hashlib.sha256(), 0
    for chunk in store.open_range(sha256):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _batches(blobs: Iterable[FoundBlob]) -> Iterator[list[FoundBlob]]:
    batch: list[FoundBlob] = []
    for blob in blobs:
        batch.append(blob)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
