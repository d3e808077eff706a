"""How many dimensions each value of a graph has, read off the operations: no image size is needed."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.surgery.arguments import argument
from core.surgery.attention import HeadAttention
from core.surgery.inplace import add_in_place, divide_in_place, multiply_in_place, subtract_in_place
from core.surgery.layers import apply_mask

Ranks = Mapping[fx.Node, int | None]
_Rule = Callable[[fx.Node, int], int | None]
_IMAGES = 4  # (N, C, H, W)


def value_ranks(network: fx.GraphModule) -> dict[fx.Node, int | None]:
    """Dimensions of each value; None where unknown. For a node of several tensors, those of each."""
    ranks: dict[fx.Node, int | None] = {}
    for node in network.graph.nodes:
        if node.op == "placeholder":
            ranks[node] = _IMAGES
        elif node.op == "get_attr":
            ranks[node] = _attribute(network, str(node.target)).dim()
        else:
            ranks[node] = _rank(network, node, ranks)
    return ranks


def _attribute(network: fx.GraphModule, target: str) -> Tensor:
    owner, _, name = target.rpartition(".")
    value: Tensor = getattr(network.get_submodule(owner), name)
    return value


def _rank(network: fx.GraphModule, node: fx.Node, ranks: Ranks) -> int | None:
    known = [rank for source in node.all_input_nodes if (rank := ranks.get(source)) is not None]
    first = node.args[0] if node.args else None
    if isinstance(first, list | tuple):
        first = first[0] if first else None
    rank = ranks.get(first) if isinstance(first, fx.Node) else None
    if node.op == "call_module":
        return None if rank is None else _layer_rank(network.get_submodule(str(node.target)), rank)
    if node.target is operator.getitem and isinstance(first, fx.Node) and _gives_several(network, first):
        return rank
    if node.target in _BROADCASTING:
        return max(known, default=None)
    rule = _RULES.get(node.target)
    return None if rule is None or rank is None else rule(node, rank)


def _layer_rank(layer: nn.Module, rank: int) -> int | None:
    if isinstance(layer, nn.Flatten):
        return rank - layer.end_dim % rank + layer.start_dim % rank
    return None if isinstance(layer, nn.Unflatten | nn.Embedding) else rank


def _gives_several(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":  # its result and its weights
        return isinstance(network.get_submodule(str(node.target)), nn.MultiheadAttention)
    return node.target in _SEVERAL


def _same(_node: fx.Node, rank: int) -> int:
    return rank


def _flatten(node: fx.Node, rank: int) -> int | None:
    start, end = argument(node, 1, "start_dim", 0), argument(node, 2, "end_dim", -1)
    return rank - end % rank + start % rank if isinstance(start, int) and isinstance(end, int) else None


def _unflatten(node: fx.Node, rank: int) -> int | None:
    sizes = argument(node, 2, "sizes", None)
    return rank + len(sizes) - 1 if isinstance(sizes, list | tuple) else None


def _as_many_as_sizes(node: fx.Node, _rank: int) -> int | None:
    sizes = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], list | tuple) else node.args[1:]
    return len(sizes) or None


def _indexed(node: fx.Node, rank: int) -> int | None:
    index = node.args[1]
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        return None
    return rank - sum(isinstance(part, int) for part in parts) + sum(part is None for part in parts)


def _reduced(node: fx.Node, rank: int) -> int | None:
    dims = argument(node, 1, "dim", None)
    if argument(node, 2, "keepdim", False):
        return rank
    if isinstance(dims, int):
        return rank - 1
    return rank - len(dims) if isinstance(dims, list | tuple) else None


_BROADCASTING = (
    operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub, torch.mul, torch.div,
    add_in_place, subtract_in_place, multiply_in_place, divide_in_place, "add", "sub", "mul", "div",
)  # fmt: skip
# Nodes of several tensors: an index picks one of them.
_SEVERAL = (torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind")
_KEEPING = (
    "contiguous", "clone", "detach", "relu", "relu_", "add_", "mul_", "transpose", "swapaxes", "softmax",
    "tanh", "chunk", "split", torch.transpose, torch.cat, torch.concat, torch.relu, torch.sigmoid, torch.tanh,
    torch.softmax, torch.chunk, torch.split, F.relu, F.gelu, F.silu, F.dropout, F.layer_norm, F.softmax,
    F.scaled_dot_product_attention, apply_mask,
)  # fmt: skip
_RULES: dict[Any, _Rule] = {
    **dict.fromkeys(_KEEPING, _same),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((torch.unflatten, "unflatten"), _unflatten),
    **dict.fromkeys(("view", "reshape", "expand", "permute"), _as_many_as_sizes),
    **dict.fromkeys((torch.reshape, torch.permute), _as_many_as_sizes),
    **dict.fromkeys((torch.unbind, "unbind"), lambda _node, rank: rank - 1),
    **dict.fromkeys(("unsqueeze", torch.unsqueeze), lambda _node, rank: rank + 1),
    **dict.fromkeys((torch.mean, torch.sum, "mean", "sum"), _reduced),  # a squeeze depends on the sizes
    operator.getitem: _indexed,
}


def attends(network: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node is an attention over tokens, in any of the spellings torch has for it."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), HeadAttention | nn.MultiheadAttention)
    return node.target is F.scaled_dot_product_attention
