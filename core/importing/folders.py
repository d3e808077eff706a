"""A folder for each class in a zip or tar archive, perhaps below train/, val/ and test/."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.errors import DatasetInvalidError, ImportTooLargeError
from core.importing.archives import Entry, Readable, entries
from core.importing.limits import MAX_FILE_BYTES, Budget
from core.importing.pictures import (
    GREY_MODES,
    SUFFIXES,
    UNREADABLE,
    explain,
    open_image,
    upright,
    upright_size,
)
from core.importing.sources import Overview, Sample, SplitName, require_names

Folder = tuple[str, ...]
_SPLITS: dict[str, SplitName] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """What a folder means."""

    class_name: str
    split: SplitName | None


class FolderSource:
    """Two passes over the archive: one for names and sizes, one for the pixels."""

    def __init__(self, source: Readable, uploaded: int, class_names: list[str] | None) -> None:
        self._source = source
        self._uploaded = uploaded
        self.overview = Overview("image_folder")
        folders = self._look()
        self._places = places_of(folders)
        self.overview.class_names = _in_order({p.class_name for p in self._places.values()}, class_names)

    def samples(self) -> Iterator[Sample]:
        labels = {name: label for label, name in enumerate(self.overview.class_names)}
        budget = Budget(self._uploaded)
        for entry in self._images():
            place = self._places.get(entry.parts[:-1])
            if place is None:
                continue
            about = entry.name, labels[place.class_name], place.split
            try:
                image = open_image(entry.read(MAX_FILE_BYTES))
                budget.spend(image.width * image.height * len(image.getbands()))
                yield Sample(*about, upright(image))
            except UNREADABLE as error:
                yield Sample(*about, None, explain(error))

    def _look(self) -> set[Folder]:
        found, folders = self.overview, set[Folder]()
        for entry in self._images():
            if len(entry.parts) == 1:
                found.ignored += 1
                continue
            folders.add(entry.parts[:-1])
            found.count += 1
            try:
                image = open_image(entry.read(MAX_FILE_BYTES))
                size = upright_size(image)
            except UNREADABLE:
                continue  # the second pass names it
            found.sizes[size] += 1
            found.pixels[image.mode] += 1
            found.grey = found.grey and image.mode in GREY_MODES
        return folders

    def _images(self) -> Iterator[Entry]:
        for entry in entries(self._source, self._uploaded):
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in entry.parts)
            if hidden or entry.parts[-1].rpartition(".")[2].lower() not in SUFFIXES:
                self.overview.ignored += not self.overview.class_names  # counted in the first pass only
                continue
            if entry.size > MAX_FILE_BYTES:
                raise ImportTooLargeError(f"{entry.name} is larger than {MAX_FILE_BYTES >> 20} MiB.")
            yield entry


def places_of(folders: Iterable[Folder]) -> dict[Folder, Place]:
    """Folder -> its class and split; a folder around everything means nothing. Raises DatasetInvalidError."""
    inner = {folder: folder for folder in folders}
    while inner and all(len(f) > 1 for f in inner.values()) and len({f[0] for f in inner.values()}) == 1:
        inner = {folder: rest[1:] for folder, rest in inner.items()}
    split = bool(inner) and all(len(f) > 1 and f[0].lower() in _SPLITS for f in inner.values())
    places = {
        folder: Place(rest[1], _SPLITS[rest[0].lower()]) if split else Place(rest[0], None)
        for folder, rest in inner.items()
    }
    _check_names({place.class_name for place in places.values()})
    return places


def _check_names(names: set[str]) -> None:
    if len(names) < 2:
        raise DatasetInvalidError(
            f"The archive has images of {len(names)} class(es); each class needs a folder of its own."
        )
    if len({name.casefold() for name in names}) < len(names):
        raise DatasetInvalidError("Two class folders differ in upper and lower case only; rename one.")
    require_names(names)


def _in_order(found: set[str], wanted: list[str] | None) -> list[str]:
    """As asked for; else numbers by value and names by letter."""
    if wanted is not None:
        if set(wanted) != found:
            raise DatasetInvalidError("class_names must be the names of the archive's folders.")
        return wanted
    if all(name.isascii() and name.isdecimal() for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)
