"""What was found a moment ago, so that it is not asked for again at once."""

import time
from collections import OrderedDict
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Recent(Generic[KeyT, ValueT]):
    """The last `size` values, each for `seconds` after it was put. For one thread (an event loop) only."""

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._size = size
        self._found: OrderedDict[KeyT, tuple[float, ValueT]] = OrderedDict()

    def get(self, key: KeyT) -> ValueT | None:
        """The value, unless it is unknown or too old."""
        until, value = self._found.get(key, (0.0, None))
        return value if time.monotonic() < until else None

    def put(self, key: KeyT, value: ValueT) -> None:
        """Keep it; beyond `size`, the one put longest ago goes."""
        self._found.pop(key, None)
        self._found[key] = (time.monotonic() + self._seconds, value)
        if len(self._found) > self._size:
            self._found.popitem(last=False)
