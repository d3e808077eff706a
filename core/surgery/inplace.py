"""Operations that change their first operand: who reads it afterwards reads the result.

Surgery may put a new tensor where the operand was; a reader of the old name would then miss the change.
"""

import operator
from collections.abc import Callable
from typing import Any

from torch import fx

from core.surgery.arguments import argument

_Operation = Callable[[Any, Any], Any]


def add_in_place(y: Any, x: Any) -> Any:
    """y += x. Changes a tensor; a number stays and a new one is returned (torch.fx would rebind its name)."""
    y += x
    return y


def subtract_in_place(y: Any, x: Any) -> Any:
    """y -= x, like `add_in_place`."""
    y -= x
    return y


def multiply_in_place(y: Any, x: Any) -> Any:
    """y *= x, like `add_in_place`."""
    y *= x
    return y


def divide_in_place(y: Any, x: Any) -> Any:
    """y /= x, like `add_in_place`."""
    y /= x
    return y


class InPlaceProxy(fx.Proxy):
    """Records `y += x` as what it is: torch.fx would record y + x and forget other names of y."""

    def __iadd__(self, other: object) -> fx.Proxy:
        return self._record(add_in_place, other)

    def __isub__(self, other: object) -> fx.Proxy:
        return self._record(subtract_in_place, other)

    def __imul__(self, other: object) -> fx.Proxy:
        return self._record(multiply_in_place, other)

    def __itruediv__(self, other: object) -> fx.Proxy:
        return self._record(divide_in_place, other)

    def _record(self, operation: _Operation, other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})


def is_in_place_operator(node: fx.Node) -> bool:
    """`y += x` and its kin; y may be a number."""
    return node.target in (add_in_place, subtract_in_place, multiply_in_place, divide_in_place)


def is_in_place_call(network: fx.GraphModule, node: fx.Node) -> bool:
    """A layer, function or method that changes its operand, surely a tensor: nn.ReLU(inplace=True), relu_."""
    if node.op == "call_module":
        return bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return _says_in_place(str(node.target))
    if node.op != "call_function":
        return False
    named = _says_in_place(getattr(node.target, "__name__", "")) and not _is_operator(node.target)
    return named or node.kwargs.get("inplace") is True


def _says_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _is_operator(target: object) -> bool:
    """operator.and_, or_, not_ and is_ change nothing: Python keeps the plain names for itself."""
    return getattr(target, "__module__", None) == operator.and_.__module__


def read_results(network: fx.GraphModule, changes: Callable[[fx.Node], bool]) -> None:
    """Let readers behind each change read its result. In place; a second pass finds nothing to do."""
    position = {node: i for i, node in enumerate(network.graph.nodes)}
    for node in network.graph.nodes:
        changed = argument(node, 0, "input", None)
        if changes(node) and isinstance(changed, fx.Node):
            later = {user for user in changed.users if position[user] > position[node]}
            changed.replace_all_uses_with(node, delete_user_cb=later.__contains__)
