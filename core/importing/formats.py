"""Which format an uploaded file has."""

from core.errors import UploadFormatError
from core.importing.archives import Readable, is_archive
from core.importing.folders import FolderSource
from core.importing.sources import Source
from core.specs import ImportOptions


def open_source(source: Readable, uploaded: int, options: ImportOptions) -> Source:
    """The reader for the file. Raises UploadFormatError."""
    if not is_archive(source):
        raise UploadFormatError("The file is no zip or tar archive.")
    return FolderSource(source, uploaded, options.class_names)
