"""Every snippet of the documents that is to be run does, against the real `cleave up`."""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Up
from tests.fixtures.documents import Session, blocks, fitted

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,  # minutes: each document trains, extracts and composes
    pytest.mark.skipif(any(shutil.which(t) is None for t in ("curl", "jq")), reason="curl and jq are needed"),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["docs/guide.md", "README.md", "docs/api.md"])
def test_every_block_runs(name: str, up: Up, tmp_path: Path) -> None:
    up.values = {"webhook_networks": "127.0.0.0/8"}
    url = str(up.start().base_url).rstrip("/")
    folder = tmp_path / "work"
    folder.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where `cleave` is
    environment = {"CLEAVE_URL": url, "CLEAVE_API_KEY": up.key, "HOME": str(folder), "PATH": path}
    with contextlib.ExitStack() as stack:
        sessions = {}
        for language in ("sh", "python"):
            sessions[language] = Session(language, folder, environment)
            stack.callback(sessions[language].close)
        for block in blocks(ROOT / name):
            if block.mark == "run":
                sessions[block.language].run(fitted(block, url, up.key))
