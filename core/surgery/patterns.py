"""Attention spelled out in a graph - split into heads, attend, merge - as the one layer surgery can cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from core.surgery.arguments import argument, only_reader
from core.surgery.attention import HeadAttention
from core.surgery.tracing import drop_dead_code

Shapes = dict[fx.Node, tuple[int, ...]]
_SPLITS = ("view", "reshape", "unflatten", torch.reshape, torch.unflatten)
_MERGES = ("view", "reshape", "flatten", torch.reshape, torch.flatten)
_TRANSPOSES = ("transpose", torch.transpose, "swapaxes")
_PERMUTES = ("permute", torch.permute)


@dataclass(frozen=True)
class _Pattern:
    """What HeadAttention replaces: everything between the three projections' outputs and `end`."""

    projections: tuple[fx.Node, ...]
    heads: int
    scale: float
    end: fx.Node


def join_attention(network: fx.GraphModule, shapes: Shapes) -> None:
    """Replace each spelled-out attention over tokens by a HeadAttention that computes the same. In place.

    Attention in any other spelling, with a mask or with dropout stays as it is.
    """
    for node in network.graph.find_nodes(op="call_function", target=F.scaled_dot_product_attention):
        pattern = _pattern(node, shapes)
        if pattern is not None:
            name = f"head_attention.{node.name}"
            network.add_submodule(name, HeadAttention(pattern.heads, pattern.scale).train(network.training))
            with network.graph.inserting_after(pattern.end):
                joined = network.graph.call_module(name, pattern.projections)
            shapes[joined] = shapes[pattern.end]
            pattern.end.replace_all_uses_with(joined)
    drop_dead_code(network)


def _pattern(node: fx.Node, shapes: Shapes) -> _Pattern | None:
    named = dict(
        zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), node.args, strict=False)
    )
    options = named | node.kwargs
    scale = options.pop("scale", None)
    values = [options.pop(name, None) for name in ("query", "key", "value")]
    if any(options.values()) or not (scale is None or isinstance(scale, float)):
        return None
    sources = [_split_source(value, shapes) for value in values if isinstance(value, fx.Node)]
    projections = tuple(source for source in sources if source is not None)
    end = _merge_end(node, shapes)
    if len(projections) != len(values) or end is None:
        return None
    heads, depth = shapes[node][1], shapes[projections[0]][2] // shapes[node][1]  # those of q, not of v
    return _Pattern(projections, heads, depth**-0.5 if scale is None else scale, end)


def _split_source(node: fx.Node, shapes: Shapes) -> fx.Node | None:
    """The value (N, T, h * d) that `node` (N, h, T, d) is split from."""
    split = argument(node, 0, "input", None) if _swaps_tokens_and_heads(node) else None
    if not isinstance(split, fx.Node) or split.target not in _SPLITS:
        return None
    source = argument(split, 0, "input", None)
    if not isinstance(source, fx.Node) or len(shapes.get(node, ())) != 4:
        return None
    n, heads, tokens, depth = shapes[node]
    return source if shapes.get(source) == (n, tokens, heads * depth) else None


def _merge_end(node: fx.Node, shapes: Shapes) -> fx.Node | None:
    """Where heads (N, h, T, d) have become tokens (N, T, h * d) again."""
    swap = only_reader(node)
    end = None if swap is None or not _swaps_tokens_and_heads(swap) else only_reader(swap)
    if end is None or end.target not in _MERGES or len(shapes[node]) != 4:
        return None
    n, heads, tokens, depth = shapes[node]
    return end if shapes.get(end) == (n, tokens, heads * depth) else None


def _swaps_tokens_and_heads(node: fx.Node) -> bool:
    dims = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], Sequence) else node.args[1:]
    if node.target in _TRANSPOSES:
        return sorted(dim % 4 for dim in dims if isinstance(dim, int)) == [1, 2]
    return node.target in _PERMUTES and tuple(dims) == (0, 2, 1, 3)
