"""A zip archive that is never written: its layout follows from the members, any range of it can be read.

Members are stored, not deflated (weights hardly compress), in the order given and with a fixed date, so equal
members make equal bytes. Layout: PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.platform.errors import BundleTooLargeError

_VERSION = 20
_UTF8_NAMES = 0x0800
_DATE = (1 << 5) | 1  # 1980-01-01, the first that a zip can hold
_UNIX_FILE = 0o100644 << 16
_LARGEST = 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """A file of the archive. `read(start, length)` gives its bytes."""

    name: str
    size: int
    crc32: int
    read: Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True)
class _Piece:
    size: int
    read: Callable[[int, int], Iterator[bytes]]


class StoredZip:
    """The archive of some members. Raises BundleTooLargeError above 4 GiB, which needs another format."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._pieces: list[_Piece] = []
        self.size = 0
        directory = b""
        for member in members:
            name = member.name.encode()
            # Version to date, then sums and sizes: the same in both places.
            common = struct.pack(
                "<5H3I2H",
                _VERSION, _UTF8_NAMES, 0, 0, _DATE, member.crc32, member.size, member.size, len(name), 0,
            )  # fmt: skip
            if self.size + member.size > _LARGEST:
                raise BundleTooLargeError("More than 4 GiB together: download the files one by one.")
            tail = struct.pack("<3H2I", 0, 0, 0, _UNIX_FILE, self.size)
            directory += b"PK\1\2" + struct.pack("<H", (3 << 8) | _VERSION) + common + tail + name
            self._add_bytes(b"PK\3\4" + common + name)
            self._add(_Piece(member.size, member.read))
        count = len(members)
        end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, len(directory), self.size, 0)
        self._add_bytes(directory + end)

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in chunks."""
        end = start + length
        at = 0
        for piece in self._pieces:
            first, last = max(start, at), min(end, at + piece.size)
            if first < last:
                yield from piece.read(first - at, last - first)
            at += piece.size

    def _add_bytes(self, content: bytes) -> None:
        self._add(_Piece(len(content), bytes_reader(content)))

    def _add(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self.size += piece.size


def bytes_reader(content: bytes) -> Callable[[int, int], Iterator[bytes]]:
    return lambda start, length: iter((content[start : start + length],))
