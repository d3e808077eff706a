"""Zip and tar archives, read in order and never extracted: only names and bytes come out."""

import bz2
import errno
import gzip
import io
import lzma
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from core.errors import ArchiveUnsafeError, DatasetCorruptError, ImportTooLargeError
from core.importing.limits import MAX_FILES, Budget

_MAX_NAME, _MAX_DEPTH = 1024, 20
_DRIVE = re.compile(r"[A-Za-z]:")
# Of any file's name, where marks of direction are common; what is made a class has a stricter rule.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the readers of archives raise. A name that says it is UTF-8, and is not, is among it.
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile,
    UnicodeDecodeError,
)  # fmt: skip
# Asked to read before the start of the file; and what bz2 raises, without a number.
_NO_FAULT_OF_THE_DISK = (errno.EINVAL, None)


# The uploaded file, opened at its start.
Readable = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Entry:
    """A file in an archive. `open` works until the next entry is asked for."""

    parts: tuple[str, ...]
    size: int
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    def read(self, limit: int) -> bytes:
        """The whole content. Raises ImportTooLargeError when it is longer than `limit`."""
        with damage_named(), self.open() as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise ImportTooLargeError(f"{self.name} is larger than {limit >> 20} MiB.")
        return content


class Counted(io.RawIOBase):
    """A stream whose output is charged to a budget."""

    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        super().__init__()
        self._stream = stream
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # the caller gives a memoryview
        content = self._stream.read(len(buffer))
        self._budget.spend(len(content))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def is_archive(source: Readable) -> bool:
    """Whether it is a zip file, or a tar file as it is or compressed."""
    with source() as file:
        if zipfile.is_zipfile(file):
            return True
    try:
        with source() as file, tarfile.open(fileobj=_decompressed(file, Budget(0)), mode="r|"):
            return True
    except (*DAMAGE, OSError):
        return False


@contextmanager
def damage_named() -> Iterator[None]:
    """What the readers of archives raise on files that are cut short becomes DatasetCorruptError."""
    try:
        yield
    except DAMAGE as error:
        raise DatasetCorruptError(f"The archive is damaged or cut short: {error}") from error
    except NotImplementedError as error:
        raise DatasetCorruptError(f"The archive is damaged or of an unusual kind: {error}") from error
    except OSError as error:
        if error.errno not in _NO_FAULT_OF_THE_DISK:
            raise
        raise DatasetCorruptError("The archive is damaged: a place in it lies before its start.") from error


def entries(source: Readable, uploaded: int) -> Generator[Entry]:
    """The files of an archive in its order.

    Raises:
        ArchiveUnsafeError: names, links or devices that no honest archive has.
        ImportTooLargeError: too many files, or too many bytes out of few.
        DatasetCorruptError: it is cut short.
    """
    budget, seen = Budget(uploaded), set[tuple[str, ...]]()
    with damage_named(), source() as file:
        is_zip = zipfile.is_zipfile(file)
        file.seek(0)
        for entry in _zip_entries(file, budget) if is_zip else _tar_entries(file, budget):
            if entry.parts in seen:
                raise ArchiveUnsafeError(f"The archive has {entry.name!r} twice.")
            seen.add(entry.parts)
            if len(seen) > MAX_FILES:
                raise ImportTooLargeError(f"The archive has more than {MAX_FILES} files.")
            yield entry


def names_of(source: Readable, uploaded: int) -> list[str]:
    """The files' names, in the archive's order."""
    return [entry.name for entry in entries(source, uploaded)]


@contextmanager
def opened(source: Readable, uploaded: int, name: str) -> Iterator[IO[bytes]]:
    """One file of the archive, found by its name. Raises DatasetCorruptError where it is cut short."""
    with closing(entries(source, uploaded)) as found, damage_named():
        entry = next(entry for entry in found if entry.name == name)
        with entry.open() as file:
            yield file


def safe_parts(name: str) -> tuple[str, ...]:
    """A member's name as folders and a file name. Raises ArchiveUnsafeError."""
    name = unicodedata.normalize("NFC", name)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    unsafe = (
        name.startswith("/"), "\\" in name, bool(_DRIVE.match(name)), ".." in parts, not parts,
        len(name) > _MAX_NAME, len(parts) > _MAX_DEPTH,
        any(unicodedata.category(character) in _UNPRINTABLE for character in name),
    )  # fmt: skip
    if any(unsafe):
        raise ArchiveUnsafeError(f"The archive has a file with the unsafe name {name[:100]!r}.")
    return parts


def _zip_entries(file: IO[bytes], budget: Budget) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            parts = safe_parts(info.orig_filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise ArchiveUnsafeError(f"{info.filename!r} is a link or a device.")
            if info.flag_bits & 1 or info.compress_type not in _METHODS:
                raise ArchiveUnsafeError(f"{info.filename!r} is encrypted or not stored by deflate.")

            def unpack(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return io.BufferedReader(Counted(archive.open(info), budget))

            yield Entry(parts, info.file_size, unpack)


def _tar_entries(file: IO[bytes], budget: Budget) -> Iterator[Entry]:
    # As a stream: what is skipped is decompressed too, and so it is counted.
    with tarfile.open(fileobj=_decompressed(file, budget), mode="r|") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep each of them
            parts = safe_parts(member.name) if member.name not in (".", "./") else ()
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ArchiveUnsafeError(f"{member.name!r} is a link, a device or sparse.")

            def unpack(member: tarfile.TarInfo = member) -> IO[bytes]:
                found = archive.extractfile(member)
                assert found is not None  # noqa: S101 - a regular file
                return found

            yield Entry(parts, member.size, unpack)


def _decompressed(file: IO[bytes], budget: Budget) -> IO[bytes]:
    head = file.read(6)
    file.seek(0)
    stream: Any = file
    if head.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=file)
    elif head.startswith(b"BZh"):
        stream = bz2.BZ2File(file)
    elif head.startswith(b"\xfd7zXZ\x00"):
        stream = lzma.LZMAFile(file)  # noqa: SIM115 - closed with what wraps it
    return io.BufferedReader(Counted(stream, budget))
