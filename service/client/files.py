"""Files on their way: what a download leaves on disk, what an upload has sent."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from service.client.errors import DigestMismatchError
from service.client.schemas import Dataset, Job, Resource


@dataclass(frozen=True)
class Download:
    """A verified file on disk. `received` counts the bytes that came over the network in this call."""

    path: Path
    url: str
    size: int
    sha256: str
    received: int


def check_bundle(path: Path) -> None:
    """Read every file of a bundle and compare it with the bundle's manifest. Raises DigestMismatchError."""
    try:
        with zipfile.ZipFile(path) as bundle:
            folder = bundle.namelist()[0].partition("/")[0]
            for file in json.loads(bundle.read(f"{folder}/manifest.json"))["files"]:
                with bundle.open(f"{folder}/{file['path']}") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]  # it reads
                if digest != file["sha256"]:
                    raise DigestMismatchError(f"{file['path']} has sha256 {digest}, not {file['sha256']}")
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError) as error:
        raise DigestMismatchError(f"what arrived is no whole bundle ({error})") from error


class UploadPart(Resource):
    number: int
    size: int


class Upload(Resource):
    """A file that is sent in parts; `missing`: the numbers of those to send."""

    id: str
    size: int
    part_size: int
    parts: list[UploadPart] = Field(default_factory=list)
    missing: list[int] = Field(default_factory=list)


class DatasetUpload(Resource):
    """A new dataset, and the job that imports it."""

    dataset: Dataset
    job: Job
