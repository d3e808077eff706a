"""What a download leaves on disk."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Download:
    """A verified file on disk. `received` counts the bytes that came over the network in this call."""

    path: Path
    url: str
    size: int
    sha256: str
    received: int
