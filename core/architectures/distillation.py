"""What distillation trains a network with two heads by: the logits of each head."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

CLASS_HEAD, DISTILLATION_HEAD = "head", "distillation_head"


def has_distillation_head(network: nn.Module) -> bool:
    """Whether the network has DeiT's second head: it may be traced or masked already."""
    return DISTILLATION_HEAD in dict(network.named_children())


@contextmanager
def recorded_heads(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Each head's logits (N, classes), by head name, refilled by each forward pass while the context lasts.

    DeiT's loss (arXiv 2012.12877, eq. 3) takes cross-entropy with the labels of `head` and with the teacher's
    decisions of `distillation_head`; the network's own output is the mean of both.
    """
    logits: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def record(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            logits[name] = output

        return record

    with ExitStack() as handles:
        for name in (CLASS_HEAD, DISTILLATION_HEAD):
            handle = network.get_submodule(name).register_forward_hook(hook(name))
            handles.callback(handle.remove)
        yield logits
