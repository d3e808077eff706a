"""Every snippet of the documents runs, against the real `cleave up`, or says why it does not."""

import contextlib
from pathlib import Path

import pytest

from tests.e2e.conftest import Up
from tests.e2e.documents import Session, blocks, fitted

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/api.md", "docs/guide.md")

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_is_to_be_run_or_says_why_not(name: str) -> None:
    found = blocks(ROOT / name)
    unmarked = [
        f"{name}:{block.line}"
        for block in found
        if block.mark is None or not (block.mark == "run" or block.mark.startswith("skip: "))
    ]
    assert unmarked == [], "put <!-- run --> or <!-- skip: the reason --> above the block"
    assert found


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name",
    ["docs/guide.md", *(pytest.param(n, marks=pytest.mark.slow) for n in ("README.md", "docs/api.md"))],
)
def test_every_block_runs(name: str, up: Up, tmp_path: Path) -> None:
    up.values = {"webhook_networks": "127.0.0.0/8"}
    url = str(up.start().base_url).rstrip("/")
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {"CLEAVE_URL": url, "CLEAVE_API_KEY": up.key, "HOME": str(folder)}
    with contextlib.ExitStack() as stack:
        sessions = {}
        for language in ("sh", "python"):
            sessions[language] = Session(language, folder, environment)
            stack.callback(sessions[language].close)
        for block in blocks(ROOT / name):
            if block.mark == "run":
                sessions[block.language].run(fitted(block, url, up.key))
