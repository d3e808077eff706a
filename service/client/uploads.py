# Written by `python -m service.sync_client` from aio/uploads.py, which is the one to change.
"""Sends a file in parts: what is there already is not sent again."""

import base64
import hashlib
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from service.client.files import Upload
from service.client.schemas import Dataset, Job
from service.client.transport import Transport, segment

Sent = Callable[[int, int], None]


def send_dataset(
    transport: Transport, source: Path, options: Mapping[str, Any], key: str, sent: Sent
) -> tuple[Dataset, Job]:
    """The dataset, and the job that imports it. A folder is sent as a tar archive of what is in it.

    `key` names this upload: called with it again, what was interrupted goes on. `sent`: called with the
    bytes that are there and the bytes there will be. Raises FileNotFoundError, before anything is asked.
    """
    source.stat()  # a path that is wrong makes no dataset, and its key stays free
    dataset = transport.post("/v1/datasets", Dataset, options, idempotency_key=f"{key}-dataset")
    path = f"/v1/datasets/{segment(str(dataset.id))}/uploads"
    with tempfile.TemporaryDirectory() as scratch:
        file = source
        if source.is_dir():
            file = Path(scratch) / f"{source.resolve().name}.tar"
            _pack(source, file)
        upload_id = _send(transport, path, file, key, sent)
    completed = f"{path}/{segment(upload_id)}/complete"
    job = transport.post(completed, Job, idempotency_key=f"{key}-complete")
    return dataset, job


def send_weights(transport: Transport, source: Path, options: Mapping[str, Any], key: str, sent: Sent) -> Job:
    """The job that makes a model of a file of weights; the rest as of `send_dataset`."""
    upload_id = _send(transport, "/v1/uploads", source, key, sent)
    body = {"upload_id": upload_id, **options}
    return transport.post("/v1/models", Job, body, idempotency_key=f"{key}-model")


def _send(transport: Transport, path: str, file: Path, key: str, sent: Sent) -> str:
    """The id of an upload, of those opened at `path`, that has the whole file."""
    digest = _sha256(file)
    asked = {"filename": file.name, "size": file.stat().st_size, "sha256": digest}
    made = transport.post(path, Upload, asked, idempotency_key=f"{key}-upload")
    path = f"{path}/{segment(made.id)}"
    upload = transport.get(path, Upload)
    there = sum(part.size for part in upload.parts)
    sent(there, upload.size)
    for number in upload.missing:
        content = _part(file, number, upload.part_size)
        transport.send("PUT", f"{path}/parts/{number}", content=content, headers=_headers(content))
        there += len(content)
        sent(there, upload.size)
    return made.id


def _pack(folder: Path, archive: Path) -> None:
    """The same files give the same bytes, so that an interrupted upload of a folder can go on."""
    with tarfile.open(archive, "w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tar.gettarinfo(path, str(path.relative_to(folder)))
                entry.mtime = entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                with path.open("rb") as content:
                    tar.addfile(entry, content)


def _part(file: Path, number: int, size: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek((number - 1) * size)
        return opened.read(size)


def _headers(content: bytes) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
