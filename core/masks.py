"""A module's mask: which neurons of which units it keeps."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.errors import ArtifactError, MaskMismatchError

if TYPE_CHECKING:
    from core.units import Unit


class ModuleMask(Mapping[str, Tensor]):
    """Unit name -> bool (width,), in unit order. Immutable: reading hands out copies.

    `a | b` keeps what either keeps (the mask of a composition), `a & b` what both keep.
    """

    __slots__ = ("_digest", "_units")

    def __init__(self, units: Mapping[str, Tensor]) -> None:
        for name, kept in units.items():
            if kept.dtype != torch.bool or kept.dim() != 1:
                raise MaskMismatchError(f"the mask of unit {name!r} is not a vector of booleans")
        self._units = {name: kept.detach().cpu().clone() for name, kept in units.items()}
        self._digest: str | None = None

    @classmethod
    def full(cls, units: "Mapping[str, int] | Iterable[Unit]") -> "ModuleMask":
        """Keep every neuron. Units come as a list of Unit or as {name: width}."""
        widths = units if isinstance(units, Mapping) else {unit.name: unit.width for unit in units}
        return cls({name: torch.ones(width, dtype=torch.bool) for name, width in widths.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._units[name].clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModuleMask) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"ModuleMask({len(self)} units, {self.retention_rate():.1%} kept, {self.digest()[:12]})"

    def __or__(self, other: "ModuleMask") -> "ModuleMask":
        return self._combine(other, torch.logical_or)

    def __and__(self, other: "ModuleMask") -> "ModuleMask":
        return self._combine(other, torch.logical_and)

    def kept(self, name: str) -> Tensor:
        """Indices (int64) of the neurons kept in one unit, ascending."""
        return self._units[name].nonzero().flatten()

    def retention_rate(self) -> float:
        """Kept neurons / neurons, over all units (MwT's kernel retention rate of the masked layers)."""
        return self._count() / max(1, sum(kept.numel() for kept in self._units.values()))

    def jaccard(self, other: "ModuleMask") -> float:
        """|both keep| / |either keeps|, over all units. Two empty masks are alike: 1."""
        either = (self | other)._count()
        return (self & other)._count() / either if either else 1.0

    def digest(self) -> str:
        """sha256 hex over the units' names, widths and bits, in unit order."""
        if self._digest is None:
            sha = hashlib.sha256()
            for name, kept in self._units.items():
                sha.update(f"{len(name.encode())}:{name}:{kept.numel()}:".encode())
                sha.update(_pack(kept))
            self._digest = sha.hexdigest()
        return self._digest

    def to_json(self) -> dict[str, Any]:
        """A JSON form: bits packed, most significant first, in base64."""
        units = [
            {"name": name, "width": kept.numel(), "bits": base64.b64encode(_pack(kept)).decode("ascii")}
            for name, kept in self._units.items()
        ]
        return {"units": units}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ModuleMask":
        """The inverse of `to_json`. Raises ArtifactError if the data has another form."""
        try:
            units = {str(unit["name"]): _unpack(unit["bits"], unit["width"]) for unit in data["units"]}
            if len(units) != len(data["units"]):
                raise ValueError("a unit occurs twice")
            return cls(units)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ArtifactError(f"not a module mask: {error}") from error

    def _count(self) -> int:
        return sum(int(kept.sum()) for kept in self._units.values())

    def _combine(self, other: "ModuleMask", join: Callable[[Tensor, Tensor], Tensor]) -> "ModuleMask":
        mine = {name: kept.numel() for name, kept in self._units.items()}
        if mine != {name: kept.numel() for name, kept in other._units.items()}:
            raise MaskMismatchError("the masks belong to different networks: their units or widths differ")
        return ModuleMask({name: join(kept, other._units[name]) for name, kept in self._units.items()})


def _pack(kept: Tensor) -> bytes:
    return np.packbits(kept.numpy()).tobytes()


def _unpack(bits: str, width: int) -> Tensor:
    packed = np.frombuffer(base64.b64decode(bits, validate=True), dtype=np.uint8)
    if width < 1 or packed.size != -(-width // 8):
        raise ValueError(f"{packed.size} bytes of bits for {width} neurons")
    return torch.from_numpy(np.unpackbits(packed, count=width).astype(bool))
