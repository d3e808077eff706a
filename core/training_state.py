"""What changes while training, as the tensors of a checkpoint and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.errors import ArtifactError
from core.selection import BestEpoch
from core.tally import EpochTally

_NETWORK, _MOMENTUM, _TALLY, _BEST = "network.", "momentum.", "tally.", "best."


def state_of(
    network: nn.Module, optimizer: torch.optim.SGD, tally: EpochTally, best: BestEpoch
) -> dict[str, Tensor]:
    """Copies of everything, on the CPU."""
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"{_MOMENTUM}{name}"] = momentum
    tensors |= {f"{_TALLY}{name}": value for name, value in tally.sums.items()}
    tensors |= {f"{_BEST}{name}": value for name, value in best.to_tensors().items()}
    return {name: _stored(value) for name, value in tensors.items()}


def load_state(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    optimizer: torch.optim.SGD,
    tally: EpochTally,
    best: BestEpoch,
) -> None:
    """The inverse of `state_of`, in place, onto the network's device.

    Raises:
        ArtifactError: they lack some, or are another network's.
    """
    try:
        network.load_state_dict(_under(_NETWORK, tensors))
        best.load(_under(_BEST, tensors))
    except (RuntimeError, KeyError) as error:
        raise ArtifactError(f"the checkpoint does not fit the network: {error}") from error
    parameters = dict(network.named_parameters())
    for name, momentum in _under(_MOMENTUM, tensors).items():
        buffer = torch.empty_like(parameters[name]).copy_(momentum)  # in the parameter's layout
        optimizer.state[parameters[name]]["momentum_buffer"] = buffer.detach()
    device = next(iter(parameters.values())).device
    tally.sums = {name: value.to(device) for name, value in _under(_TALLY, tensors).items()}


def _stored(value: Tensor) -> Tensor:
    """A copy that safetensors takes: of its own memory (layers may have two names), in the plain layout."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
