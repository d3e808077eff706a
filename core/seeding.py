"""Counter-based randomness: draws depend on (seed, purpose, counters) only, so resuming needs no state."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part, and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `derive_seed`: the same draws whatever device computes."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@contextmanager
def seeded(device: torch.device, *parts: int | str) -> Iterator[None]:
    """Seed torch's global state (dropout, initialisation) inside the block and restore it after."""
    # fork_rng without a list would save and restore the state of every GPU of the machine.
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(*parts))
        yield
