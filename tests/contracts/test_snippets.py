"""Every snippet of the documents is run by tests/e2e/test_docs.py, or says why not."""

from pathlib import Path

import pytest

from tests.fixtures.documents import blocks

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "docs/api.md", "docs/guide.md"])
def test_every_block_is_to_be_run_or_says_why_not(name: str) -> None:
    found = blocks(ROOT / name)
    unmarked = [
        f"{name}:{block.line}"
        for block in found
        if block.mark is None or not (block.mark == "run" or block.mark.startswith("skip: "))
    ]
    assert unmarked == [], "put <!-- run --> or <!-- skip: the reason --> above the block"
    assert found
