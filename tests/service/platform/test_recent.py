"""What is remembered for a moment."""

import time

import pytest

from service.platform.recent import Recent


def test_it_is_there_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    recent = Recent[str, int](1.0, size=2)
    recent.put("a", 1)
    assert (recent.get("a"), recent.get("b")) == (1, None)
    now += 1.0
    assert recent.get("a") is None


def test_beyond_its_size_the_oldest_goes() -> None:
    recent = Recent[str, int](60.0, size=2)
    for number, key in enumerate(["a", "b", "a", "c"]):
        recent.put(key, number)
    assert [recent.get(key) for key in "abc"] == [2, None, 3]
