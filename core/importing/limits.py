"""What the importing process may use, and what a file may expand to."""

import resource

from core.errors import ImportTooLargeError

MEMORY_BYTES = 1 << 30
CPU_S = 3600
MAX_FILES = 500_000
MAX_FILE_BYTES = 64 << 20  # of one image, as stored
MAX_PIXELS = 50_000_000
_MAX_RATIO = 100
# Small files may hold much: a drawing of one colour, zeros in an npz.
_FREE_BYTES = 256 << 20


class Budget:
    """Counts what decoders put out, of every codec, against a multiple of what was uploaded."""

    def __init__(self, uploaded: int) -> None:
        self._left = max(_FREE_BYTES, _MAX_RATIO * uploaded)

    def spend(self, size: int) -> None:
        """Raises ImportTooLargeError."""
        self._left -= size
        if self._left < 0:
            raise ImportTooLargeError(
                f"The file expands to more than {_MAX_RATIO} times its size; that is no honest dataset."
            )


def limit_this_process(max_bytes: int) -> None:
    """Memory, processor time and the size of each file written; no core dumps. For good."""
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, max_bytes + (1 << 20)),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (most, most))
