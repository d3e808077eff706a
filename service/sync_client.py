"""Writes the client without asyncio from the one with: the same lines without `await`.

Both stay typed and readable, and neither has a method that the other lacks. `python -m service.sync_client`
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).parent / "client"
SOURCE = TARGET / "aio"
_HEADER = "# Written by `python -m service.sync_client` from aio/{name}, which is the one to change.\n"
_WITHOUT = (
    (r"\basyncio\.to_thread\((\w+), ", r"\1("),
    (r"\basyncio\.sleep\(", "time.sleep("),
    (r"^import asyncio$", "import time"),
    (r"\[(\w+) async for \1 in (\w+)\]", r"list(\2)"),
    (r"\b(?:async|await) ", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAsync([A-Z]\w+)", r"\1"),
    (r"\ba(iter_lines|iter_raw|read|close)\(", r"\1("),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\bservice\.client\.aio\b", "service.client"),
)


def written() -> dict[Path, str]:
    """The text of each module of the client without asyncio, by its path."""
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(SOURCE.glob("*.py")):
            if source.name != "__init__.py":
                text = source.read_text()
                for pattern, replacement in _WITHOUT:
                    text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
                (Path(folder) / source.name).write_text(_HEADER.format(name=source.name) + text)
        # The repository's own rules, because the folder is elsewhere.
        rules = ["--quiet", "--config", str(TARGET.parents[1] / "pyproject.toml"), folder]
        for command in (
            ["check", "--fix", "--select", "I,F401", "--config", 'lint.isort.known-first-party=["service"]'],
            ["format"],
        ):
            subprocess.run([sys.executable, "-m", "ruff", *command, *rules], check=True)  # noqa: S603 - no input
        return {TARGET / path.name: path.read_text() for path in sorted(Path(folder).glob("*.py"))}


def main() -> None:
    """Entry point of the module."""
    for path, text in written().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
