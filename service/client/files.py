"""What a download leaves on disk."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from service.client.errors import DigestMismatchError


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
