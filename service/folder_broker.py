"""The broker of the embedded mode: kombu's filesystem transport, with messages that appear and go at once."""

import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

from service.platform.settings import FOLDER_SCHEME

_STRAY_S = 60.0


def remove_strays(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote or read a message: milliseconds' work."""
    for path in (*folder.glob("*.draft"), *folder.glob("*.taken")):
        with suppress(FileNotFoundError):  # its reader is done with it
            # The change of the name counts: the message may have waited for long.
            if time.time() - path.stat().st_ctime > _STRAY_S:
                path.unlink()


class Channel(filesystem.Channel):
    """Kombu writes a message under its final name, where a reader may find it empty and lose it."""

    # Kombu's own classes do not agree on the second name.
    def _put(self, queue: str, message: Any, **_: Any) -> None:  # type: ignore[override]
        path = self._folder / f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        draft = path.with_suffix(".draft")
        draft.write_text(dumps(message), encoding="utf-8")
        draft.rename(path)

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002
        """Raises queue.Empty."""
        for path in sorted(self._folder.glob(f"*.{queue}.msg")):
            taken = path.with_suffix(".taken")
            try:
                path.rename(taken)
            except FileNotFoundError:
                continue  # another worker has it
            content = taken.read_bytes()
            taken.unlink()
            with suppress(ValueError):  # cut short, as a machine leaves it that lost its power: a hint less
                return loads(content.decode())
        raise Empty

    @property
    def _folder(self) -> Path:
        return Path(self.data_folder_in)


class Transport(filesystem.Transport):
    Channel = Channel


TRANSPORT_ALIASES[FOLDER_SCHEME] = f"{__name__}:{Transport.__name__}"
