"""Artifacts: look up, and download so that a broken connection costs only what had not arrived yet."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import httpx

from service.client.aio.transport import AsyncTransport, backoff, describe, segment
from service.client.errors import (
    DigestMismatchError,
    DownloadInterruptedError,
    InvalidIdError,
    NoSuchFileError,
)
from service.client.files import Download, check_bundle
from service.client.schemas import Artifact, Manifest, SignedLink

_FAILURES_IN_A_ROW = 5


class AsyncArtifactsClient:
    """`client.artifacts`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, artifact_id: str) -> Artifact:
        return await self._transport.get(f"/v1/artifacts/{segment(artifact_id)}", Artifact)

    async def sign(self, artifact_id: str, ttl_s: int = 600) -> SignedLink:
        """A link that opens this content without an API key for `ttl_s` seconds, 3600 at most."""
        return await self._transport.post(
            f"/v1/artifacts/{segment(artifact_id)}/sign", SignedLink, {"ttl_s": ttl_s}
        )

    async def manifest(self, owner_id: str) -> Manifest:
        """Everything on record about a model, module or composition, with the digests of its files."""
        return await self._transport.get(f"{_owner_path(owner_id)}/manifest", Manifest)

    async def bundle(self, owner_id: str, destination: Path) -> Path:
        """Fetch all files of a model, module or composition as one zip; verify each; rename into place.

        Args:
            destination: The file to write, or an existing folder to write `<id>.zip` into.

        Raises:
            DigestMismatchError: A file in it is not what the manifest says. Nothing is kept.
            DownloadInterruptedError: The connection broke. Nothing is kept.
        """
        path = f"{_owner_path(owner_id)}/bundle"
        target = destination / f"{owner_id}.zip" if destination.is_dir() else destination
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            async with self._transport.stream(path) as response:
                await _save(response, part)
            await asyncio.to_thread(check_bundle, part)
            part.replace(target)
        except httpx.TransportError as error:
            raise DownloadInterruptedError(f"{owner_id}: {describe(error)}; run it again") from error
        finally:
            part.unlink(missing_ok=True)
        return target

    async def download(
        self, artifact_id: str, destination: Path, expected_sha256: str | None = None
    ) -> Download:
        """Fetch the content, going on from what an earlier call left; verify the sha256; rename into place.

        A file that is there already with this content is left alone, once the service has said so too (304).

        Args:
            destination: The file to write, or an existing folder to write the artifact's own file name into.
            expected_sha256: What you already know the digest must be; default: what the registry records.

        Raises:
            DigestMismatchError: The content is not what was asked for. Nothing is kept.
            DownloadInterruptedError: The connection broke repeatedly. What arrived is kept for the next call.
        """
        artifact = await self.get(artifact_id)
        if expected_sha256 is not None and expected_sha256.lower() != artifact.sha256:
            raise DigestMismatchError(f"{artifact_id} is sha256 {artifact.sha256}, not {expected_sha256}")
        target = destination / Path(artifact.filename).name if destination.is_dir() else destination
        path = f"/v1/artifacts/{segment(artifact_id)}/content"
        url = self._transport.base_url + path
        if (
            target.is_file()
            and await asyncio.to_thread(_sha256, target) == artifact.sha256
            and await self._unchanged(path, artifact.sha256)
        ):
            return Download(target, url, artifact.size, artifact.sha256, received=0)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The digest in the name keeps what is left of another artifact from being taken for this one.
        part = target.with_name(f".{target.name}.{artifact.sha256[:16]}.part")
        received = await self._fetch(path, part, artifact)
        part.replace(target)
        return Download(target, url, artifact.size, artifact.sha256, received)

    async def download_all(
        self, artifacts: Sequence[Artifact], folder: Path | str, role: str | None = None
    ) -> list[Download]:
        """The files, or the one in this role, into a folder that is made if needed. Raises as `download`."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        chosen = [artifact for artifact in artifacts if role in (None, artifact.role)]
        if not chosen:
            raise NoSuchFileError(f"no {role or 'files'} among {sorted(a.role or '-' for a in artifacts)}")
        return [await self.download(artifact.id, target) for artifact in chosen]

    async def _unchanged(self, path: str, sha256: str) -> bool:
        """Whether the service still has this content there. Moves none of it."""
        try:
            async with self._transport.stream(path, headers={"If-None-Match": f'"{sha256}"'}) as response:
                return response.status_code == 304
        except httpx.TransportError:
            return True  # so the record said, a moment ago

    async def _fetch(self, path: str, part: Path, artifact: Artifact) -> int:
        """Fill `part` until it is the whole artifact; returns the bytes received."""
        received = failures = 0
        while not part.exists() or _size(part) < artifact.size:
            before, reason = _size(part), "the content ended early"
            try:
                await self._receive(path, part, artifact)
            except httpx.TransportError as error:
                reason = describe(error)
            gained = max(0, _size(part) - before)
            received += gained
            failures = 0 if gained else failures + 1
            if failures >= _FAILURES_IN_A_ROW:
                raise DownloadInterruptedError(
                    f"{artifact.id}: {_size(part)} of {artifact.size} bytes arrived, then {reason}; "
                    "run it again to go on"
                )
            if failures:
                await asyncio.sleep(backoff(failures - 1))
        digest = await asyncio.to_thread(_sha256, part)
        if digest != artifact.sha256:
            part.unlink()
            raise DigestMismatchError(
                f"{artifact.id}: received sha256 {digest}, expected {artifact.sha256}; nothing was kept"
            )
        return received

    async def _receive(self, path: str, part: Path, artifact: Artifact) -> None:
        """One request for what is missing, appended to `part`."""
        have = _size(part)
        headers = {"Accept-Encoding": "identity"}
        if have:
            # The content's ETag is its sha256; a service that says otherwise sends the whole again.
            headers |= {"Range": f"bytes={have}-", "If-Range": f'"{artifact.sha256}"'}
        async with self._transport.stream(path, headers=headers) as response:
            resumed = response.status_code == 206
            room = artifact.size - (have if resumed else 0)
            with part.open("ab" if resumed else "wb") as file:
                try:
                    await _copy(response, file, room)
                finally:
                    file.flush()
                    os.fsync(file.fileno())


def _owner_path(owner_id: str) -> str:
    kinds = {"mdl": "models", "mod": "modules", "cmp": "compositions"}
    kind = "models" if "@" in owner_id else kinds.get(owner_id.partition("_")[0])
    if kind is None:
        raise InvalidIdError(f"{owner_id!r} is no model, module or composition: mdl_, mod_ or cmp_")
    return f"/v1/{kind}/{segment(owner_id)}"


async def _save(response: httpx.Response, path: Path) -> None:
    with path.open("wb") as file:
        async for chunk in response.aiter_raw():
            file.write(chunk)


async def _copy(response: httpx.Response, file: BinaryIO, room: int) -> None:
    """Write the body up to one byte beyond `room`: enough to see it is too long, and no full disk."""
    # Unsized chunks: with a size, httpx holds bytes back, and a cut would lose them.
    async for chunk in response.aiter_raw():
        file.write(chunk[: room + 1])
        room -= len(chunk)
        if room < 0:
            return


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
