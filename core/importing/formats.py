"""Which format an uploaded file has."""

from collections.abc import Callable
from itertools import islice

from core.errors import UploadFormatError
from core.importing.archives import Readable, entries, is_archive
from core.importing.cifar import cifar_source, is_cifar
from core.importing.folders import FolderSource
from core.importing.idx import NAME, idx_source
from core.importing.npz import npz_source
from core.importing.sources import Source
from core.specs import ImportOptions, UploadFormat

# The formats that are not folders of images have few files.
_LOOKED_AT = 20
_READERS: dict[UploadFormat, Callable[[Readable, int, list[str] | None], Source]] = {
    "image_folder": FolderSource,
    "npz": npz_source,
    "idx": idx_source,
    "cifar": cifar_source,
}


def open_source(source: Readable, uploaded: int, options: ImportOptions) -> Source:
    """The reader for the file. Raises UploadFormatError."""
    if not is_archive(source):
        raise UploadFormatError("The file is no zip (or npz) and no tar archive, compressed or not.")
    chosen = options.format or seen_format(source, uploaded)
    return _READERS[chosen](source, uploaded, options.class_names)


def seen_format(source: Readable, uploaded: int) -> UploadFormat:
    """By the names of the first files."""
    names = [entry.name for entry in islice(entries(source, uploaded), _LOOKED_AT)]
    if names and all(name.endswith(".npy") and "/" not in name for name in names):
        return "npz"
    if any(NAME.match(name.rpartition("/")[2]) for name in names):
        return "idx"
    return "cifar" if is_cifar(names) else "image_folder"
