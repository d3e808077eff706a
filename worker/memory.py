"""How much memory a runner and the processes it started hold. Known on Linux only: elsewhere, no limit."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_INTERVAL_S = 0.5
_MB = 1 << 20


class MemoryWatch:
    """Compares resident memory with a limit, twice a second. A limit of 0 is none."""

    def __init__(self, pid: int, limit_mb: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid = pid
        self._limit_mb = limit_mb
        self._clock = clock
        self._next_look = 0.0
        self.held_mb = 0

    @property
    def roomy(self) -> bool:
        """Half of what it may hold is free for another job."""
        return self._limit_mb == 0 or 2 * self.held_mb <= self._limit_mb

    def exceeded(self) -> bool:
        """Whether the runner held more than it may when it was last looked at."""
        if self._limit_mb and self._clock() >= self._next_look:
            self._next_look = self._clock() + _INTERVAL_S
            self.held_mb = resident_bytes(self._pid) // _MB
        return self._limit_mb > 0 and self.held_mb > self._limit_mb


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; pages that they share count for each."""
    held, children = 0, []
    with suppress(OSError, IndexError):  # it ended meanwhile
        held = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += (task / "children").read_text().split()
    return held + sum(resident_bytes(int(child)) for child in children)
