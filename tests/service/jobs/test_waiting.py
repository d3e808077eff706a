"""`Prefer: wait=N` in seconds, and everything that is not one."""

import pytest

from service.jobs.waiting import preferred_wait


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("wait=5", 5),
        ("respond-async, wait=7", 7),
        ("wait=9999", 60),
        ("wait=-1", 0),
        ("wait", 0),
        ("wait=²", 0),
        ("wait=" + "9" * 400, 60),
        ("wait=nan", 0),
    ],
)
def test_preferred_wait(prefer: str | None, seconds: float) -> None:
    assert preferred_wait(prefer) == seconds
