"""Weights trained elsewhere, put into a network of ours: every tensor by its name and shape, or none."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import WeightsMismatchError, WeightsNotFiniteError
from core.results import WeightsReport
from core.weights_file import StoredTensor, WeightsFile, told
from core.wording import listed

# What wrappers put before every name: DataParallel, torch.compile, Lightning and the like.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")
# BatchNorm counts batches for a kind of momentum that no network here uses; old files lack the counter.
_OPTIONAL = "num_batches_tracked"


@dataclass(frozen=True)
class _Differences:
    """What keeps a file from being a network's weights."""

    missing: list[str]
    unexpected: list[str]
    different: list[str]

    def require_none(self) -> None:
        """Raises WeightsMismatchError, which names them."""
        told_of = (("missing", self.missing), ("unexpected", self.unexpected), ("different", self.different))
        said = [f"{len(names)} {kind}: {listed(names)}" for kind, names in told_of if names]
        if said:
            raise WeightsMismatchError(f"The tensors are not the architecture's. {'; '.join(said)}.")


def fill(
    network: nn.Module, file: WeightsFile, before_each: Callable[[], None] = lambda: None
) -> WeightsReport:
    """Copy the file's tensors into the network, in the network's own types.

    Args:
        network: the plain architecture.
        file: all of its parameters and persistent buffers; a prefix that all names share may come before.
        before_each: called before each tensor is read; what it raises ends the filling.

    Raises:
        WeightsMismatchError: a tensor is missing, unexpected, of another shape or of another kind of number.
        WeightsNotFiniteError: a tensor has NaN or infinite numbers, as stored or in the network's type.
    """
    wanted = network.state_dict()
    prefix = _prefix(file.tensors, wanted)
    stored = {name.removeprefix(prefix): name for name in file.tensors}
    absent = [name for name in wanted if name not in stored]
    counters = [name for name in absent if name.rpartition(".")[2] == _OPTIONAL]
    _Differences(
        missing=[told(name) for name in absent if name not in counters],
        unexpected=[told(name) for name in stored if name not in wanted],
        different=[
            difference
            for name, target in wanted.items()
            if name in stored and (difference := _difference(name, file.tensors[stored[name]], target))
        ],
    ).require_none()
    for name, original in stored.items():
        before_each()
        _copy(name, file.read(original), wanted[name])
    return WeightsReport(
        tensors=len(stored),
        dtypes=dict(Counter(tensor.dtype for tensor in file.tensors.values())),
        stripped_prefix=prefix,
        notes=_notes(file.tensors.values(), prefix, len(counters)),
    )


def _prefix(names: Iterable[str], wanted: Mapping[str, Tensor]) -> str:
    """What wrappers put before every name, unless some name is right as it is."""
    prefix, rest = "", list(names)
    while not any(name in wanted for name in rest):
        found = next((w for w in _WRAPPERS if all(name.startswith(w) for name in rest)), None)
        if found is None:
            return ""
        prefix, rest = prefix + found, [name.removeprefix(found) for name in rest]
    return prefix


def _difference(name: str, stored: StoredTensor, target: Tensor) -> str | None:
    floats = stored.dtype.startswith(("F", "BF"))
    if stored.shape == tuple(target.shape) and floats == target.is_floating_point():
        return None
    found, asked = f"{stored.dtype} {list(stored.shape)}", f"{target.dtype} {list(target.shape)}"
    return f"{told(name)} is {found}, the network's {asked.removeprefix('torch.')}"


def _copy(name: str, value: Tensor, target: Tensor) -> None:
    value = value.to(target.dtype)
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise WeightsNotFiniteError(f"{told(name)} has NaN or infinite numbers in {target.dtype}.")
    target.copy_(value)


def _notes(tensors: Iterable[StoredTensor], prefix: str, counters: int) -> list[str]:
    others = sorted({tensor.dtype for tensor in tensors if tensor.dtype in ("F64", "F16", "BF16")})
    return [
        note
        for note, holds in (
            (f"the prefix {prefix!r} was taken off every name", bool(prefix)),
            (f"tensors of type {', '.join(others)} were converted to F32", bool(others)),
            (f"{counters} counters of batches ({_OPTIONAL}) were not in the file and are 0", counters > 0),
        )
        if holds
    ]
