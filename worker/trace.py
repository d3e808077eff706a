"""Where a runner was when it was asked, or when it died: what Python's faulthandler wrote."""

import os
import re
import tempfile

_LONGEST = 3000
_PATH = re.compile(r'File "(?:[^"\n]*/)?([^"/\n]+/[^"/\n]+)"')
_ASKED = "Current thread "


class TraceFile:
    """An unnamed file that a runner's faulthandler writes to, from whatever state it is in."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its runner

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> str:
        """What was written to it, for people; empty when nothing was, or when it was closed before."""
        if self._file.closed:
            return ""
        raw = os.pread(self._file.fileno(), 1 << 20, 0)
        self._file.close()
        return readable(raw.decode(errors="replace"))


def readable(raw: str) -> str:
    """A fault's name, then the thread that was asked; no folders, no longer than a message may be."""
    fault, rest = raw.split("\n", 1) if raw.startswith("Fatal") else ("", raw)
    others, found, asked = rest.partition(_ASKED)
    text = "\n".join(part.strip("\n") for part in (fault, found + asked, others) if part.strip())
    return _PATH.sub(r'File "\1"', text)[:_LONGEST]
