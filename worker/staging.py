"""Where an attempt's runner writes files before they are published: one folder for each lease."""

import errno
import shutil
from contextlib import suppress
from pathlib import Path


def no_room(error: BaseException | None) -> bool:
    """Whether this error, or what caused it, says that the disk is full."""
    while error is not None and getattr(error, "errno", None) not in {errno.ENOSPC, errno.EDQUOT}:
        error = error.__cause__
    return error is not None


class Stage:
    """`<job's folder>/<lease token>`. Tokens grow with every claim: smaller ones are over."""

    def __init__(self, job_folder: Path, token: int) -> None:
        self._job_folder = job_folder
        self._token = token
        self.folder = job_folder / str(token)

    def open(self) -> None:
        """Make the folder; remove what attempts left that were killed together with their worker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in self._job_folder.iterdir():
            if other.name.isdecimal() and int(other.name) < self._token:
                shutil.rmtree(other, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder, and the job's unless a later attempt uses it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # not empty, or never made
            self._job_folder.rmdir()
