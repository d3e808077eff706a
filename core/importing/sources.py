"""What every format gives: how many images of which sizes there are, then the images one after another."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from PIL import Image

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """One image; without one, `problem` says why. `split`: where the file gives one."""

    name: str
    label: int
    split: SplitName | None
    image: Image.Image | None = None
    problem: str = ""


@dataclass
class Overview:
    """What a first pass found."""

    format: str
    class_names: list[str] = field(default_factory=list)
    count: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(width, height) -> images."""
    pixels: Counter[str] = field(default_factory=Counter)
    grey: bool = True
    ignored: int = 0


class Source(Protocol):
    """An uploaded file in one of the formats."""

    @property
    def overview(self) -> Overview: ...

    def samples(self) -> Iterator[Sample]:
        """The images in the file's order."""
