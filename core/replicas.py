"""One training shared by several processes: each computes its rows of a batch, all see the batch's loss.

Batch normalisation and the modularity losses look across samples, so averaging the gradients of separate
losses would be another method. Here the rows meet in one loss: n processes compute what one would.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from core.errors import UntraceableModelError


@dataclass(frozen=True)
class Replicas:
    """The processes of a training: this one's rank and how many there are."""

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> "Replicas":
        """Those of torch.distributed's default process group; alone if there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, size: int) -> slice:
        """This process's rows of `size`; shares follow each other and differ by one at most."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def gather(self, rows: Tensor, size: int) -> Tensor:
        """All `size` rows (size, K) of a batch of which this process holds its share; differentiable.

        Every process must compute the same loss of the result: a row's gradient goes to its owner as it is.
        """
        if self.count == 1:
            return rows
        shares = [Replicas(rank, self.count).share(size) for rank in range(self.count)]
        gathered: Tensor = _Gather.apply(rows, self.rank, [s.stop - s.start for s in shares])
        return gathered

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes; differentiable, and the gradient is summed as well."""
        if self.count == 1:
            return values
        summed: Tensor = _Sum.apply(values)
        return summed

    def replicated(self, network: nn.Module) -> nn.Module:
        """The network, of which every process updates its copy alike."""
        # Buffers need no broadcast: every process computes the same running statistics.
        return network if self.count == 1 else DistributedDataParallel(network, broadcast_buffers=False)

    def agree(self, flag: bool, device: torch.device) -> bool:
        """What the first process says."""
        if self.count == 1:
            return flag
        said = torch.tensor([flag], dtype=torch.int32, device=device)
        dist.broadcast(said, src=0)
        return bool(said.item())


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, sizes: list[int]) -> Tensor:
        ctx.share = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        # Collectives need equal shapes: shorter shares are filled up.
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.share], None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed


@contextmanager
def shared_batch_norm(network: nn.Module, replicas: Replicas) -> Iterator[None]:
    """Inside the block each BatchNorm2d in train mode normalises by the statistics of the whole batch.

    Like nn.SyncBatchNorm, which knows no CPU and would change the layers' types.

    Raises:
        UntraceableModelError: There are several processes and a batch normalisation of another kind.
    """
    with ExitStack() as restored:
        for name, layer in network.named_modules() if replicas.count > 1 else ():
            if type(layer) is nn.BatchNorm2d:
                layer.__dict__["forward"] = _shared_forward(layer, replicas)
                restored.callback(layer.__dict__.pop, "forward")
            elif isinstance(layer, _BatchNorm):  # a subclass may compute more, as timm's with an activation
                raise UntraceableModelError(
                    f"{name}, a {type(layer).__name__}, is trained by one process only"
                )
        yield


def _shared_forward(layer: nn.BatchNorm2d, replicas: Replicas) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if not layer.training:
            return nn.BatchNorm2d.forward(layer, x)
        values = x.float()
        own = values.new_full((1,), values.numel() / values.shape[1])
        sums = replicas.total(torch.cat([values.sum(dim=(0, 2, 3)), own]))
        count = sums[-1].detach()
        centred = values - (sums[:-1] / count)[:, None, None]
        # A second sum, of squares around the common mean: E[x^2] - E[x]^2 would lose digits.
        variance = replicas.total(centred.square().sum(dim=(0, 2, 3))) / count
        _update(layer, sums[:-1].detach() / count, variance.detach() * count / (count - 1).clamp_min(1))
        scale = torch.rsqrt(variance + layer.eps)
        scale = scale if layer.weight is None else scale * layer.weight
        normal = centred * scale[:, None, None]
        return (normal if layer.bias is None else normal + layer.bias[:, None, None]).to(x.dtype)

    return forward


@torch.no_grad()
def _update(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked += 1
    weight = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean, weight)
    layer.running_var.lerp_(variance, weight)
