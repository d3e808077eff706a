"""How messages tell of many things."""

from collections.abc import Sequence

_NAMED = 10


def listed(names: Sequence[str]) -> str:
    """The first ten, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
