"""The uploaded parts as one readable, seekable file."""

import bisect
import errno
import hashlib
import io
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from core.errors import UploadDigestError

_CHUNK = 1 << 20


class PartsFile(io.RawIOBase):
    """Read-only; holds one part open at a time. Wrap it into an io.BufferedReader."""

    def __init__(self, parts: Sequence[Path]) -> None:
        super().__init__()
        self._parts = parts
        self._ends = list(accumulate(part.stat().st_size for part in parts))
        self.size = self._ends[-1]
        self._position = 0
        self._open: tuple[int, io.FileIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(
                errno.EINVAL, "before the start of the file"
            )  # as a file does: zipfile relies on it
        self._position = base + offset
        return self._position

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # the caller gives a memoryview
        number = bisect.bisect_right(self._ends, self._position)
        if number == len(self._parts):
            return 0
        file = self._part(number)
        start = self._ends[number - 1] if number else 0
        file.seek(self._position - start)
        count = file.readinto(memoryview(buffer)[: self._ends[number] - self._position])
        self._position += count
        return count

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
        super().close()

    def _part(self, number: int) -> io.FileIO:
        if self._open is None or self._open[0] != number:
            if self._open is not None:
                self._open[1].close()
            self._open = number, io.FileIO(self._parts[number])
        return self._open[1]


def verify(parts: Sequence[Path], size: int, sha256: str, tell: Callable[[float], None]) -> None:
    """Raises UploadDigestError unless the parts in their order are the announced file."""
    digest, read = hashlib.sha256(), 0
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                read += len(chunk)
                tell(read / size)
    if (read, digest.hexdigest()) != (size, sha256):
        raise UploadDigestError("The parts together are not the announced file: its sha256 differs.")
