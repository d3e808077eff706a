"""Processes that write to one SQLite file at once; `benchmarks.overhead` measures the long form."""

from pathlib import Path

import pytest

from benchmarks.writers import contend
from tests.fixtures.database import copy_sqlite, settings_for


@pytest.mark.timeout(240)
def test_nothing_is_lost_and_nobody_is_told_locked(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    copy_sqlite(settings)
    found = contend(settings, processes=4, jobs=5)
    assert (found["jobs"], found["lost_jobs"], found["lost_events"], found["locked_errors"]) == (20, 0, 0, 0)
    assert found["longest_wait_ms"] > 0 < found["longest_hold_ms"]
