"""Reading graph nodes: their arguments and their readers."""

from collections.abc import Sequence
from typing import Any

from torch import fx


def argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    """An argument by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def dimensions(node: fx.Node, position: int, name: str, rank: int) -> tuple[int, ...] | None:
    """Constant dimensions, one or several, counted from the front; None if they are not said as constants."""
    dims = argument(node, position, name, None)
    dims = (dims,) if isinstance(dims, int) else dims
    if not isinstance(dims, Sequence) or not dims or not all(isinstance(dim, int) for dim in dims):
        return None
    return tuple(dim % rank for dim in dims)


def only_reader(node: fx.Node) -> fx.Node | None:
    """The one node that reads a value, or None if there are more or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None
