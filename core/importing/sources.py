"""What every format gives: how many images of which sizes there are, then the images one after another."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from PIL import Image

from core.errors import DatasetInvalidError
from core.texts import hides_something

SplitName = Literal["train", "validation", "test"]
_LONGEST_NAME = 200
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


def require_names(names: Iterable[str]) -> None:
    """Raises DatasetInvalidError for the names of classes that no request could name, or that two have."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise DatasetInvalidError(f"Two classes have the name {name!r}.")
        seen.add(name)
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise DatasetInvalidError(f"A class needs a name of 1 to {_LONGEST_NAME} characters.")
        if hides_something(name):
            raise DatasetInvalidError(f"The name of the class {name!r} has characters that do not print.")


class Source(Protocol):
    """An uploaded file in one of the formats."""

    @property
    def overview(self) -> Overview: ...

    def samples(self) -> Iterator[Sample]:
        """The images in the file's order."""
