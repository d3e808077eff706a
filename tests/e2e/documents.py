"""The snippets of a document, run in order: shell blocks in one shell, Python blocks in one interpreter."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("sh", "python")
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>.*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
_ID = re.compile(r"\b(mdl|mod|cmp|job|whk|art|ds)_\.\.\.")
_MARK = "-- the block is done --"
# What `mdl_...` stands for in a document: the newest one there is.
_NEWEST = """
newest() {
  local list=datasets path='[.data[] | select(.id != null)][0].id'
  case $1 in
    mdl) list=models ;; mod) list=modules ;; cmp) list=compositions ;; job) list=jobs ;; whk) list=webhooks ;;
    art) list=compositions path='.data[0].artifacts[0].id' ;;
  esac
  curl --silent --fail -H "Authorization: Bearer $CLEAVE_API_KEY" "$CLEAVE_URL/v1/$list?limit=1" |
    jq -r "$path"
}
"""
_PYTHON = f"""
import sys
names = {{"__name__": "__main__"}}
for line in sys.stdin:
    path = line.strip()
    exec(compile(open(path).read(), path, "exec"), names)
    print("\\n" + {_MARK!r}, flush=True)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block. `mark`: "run", or "skip: " and why; None where there is neither."""

    line: int
    language: str
    text: str
    mark: str | None


def blocks(document: Path) -> list[Block]:
    """The shell and Python blocks, in order."""
    content = document.read_text()
    return [
        Block(
            content.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["text"],
            found["mark"],
        )
        for found in _BLOCK.finditer(content)
        if found["language"] in LANGUAGES
    ]


class Session:
    """A shell or an interpreter that keeps its variables from block to block."""

    def __init__(self, language: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._language = language
        self._folder = folder
        self._number = 0
        command = ["bash"] if language == "sh" else [sys.executable, "-c", _PYTHON]
        self._process = subprocess.Popen(
            command, cwd=folder, text=True, env={**os.environ, **environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if language == "sh":
            self.run(_NEWEST)

    def run(self, text: str) -> str:
        """What the block printed. Fails the test when the block fails."""
        self._number += 1
        path = self._folder / f".block-{self._number}.{self._language}"
        path.write_text(text)
        shell = f"set -euo pipefail; source {path}; set +u; echo; echo '{_MARK}'\n"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(shell if self._language == "sh" else f"{path}\n")
        self._process.stdin.flush()
        printed: list[str] = []
        for line in self._process.stdout:
            if line.strip() == _MARK:
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"the block failed:\n{text}\n{''.join(printed)}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def fitted(block: Block, url: str, key: str) -> str:
    """The block for the service of the test; its trainings take one epoch: the calls are what is tested."""
    text = block.text.replace("http://127.0.0.1:8321", url).replace("cleave_...", key)
    text = re.sub(r'("epochs": |--epochs )\d+', r"\g<1>1", text)
    return _ID.sub(r"$(newest \1)", text) if block.language == "sh" else text
