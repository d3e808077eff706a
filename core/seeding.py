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
    # torch.manual_seed and fork_rng would visit every kind of device torch knows, at each step.
    seed, before = derive_seed(*parts), torch.get_rng_state()
    on_gpu = device.type == "cuda"
    gpu_before = torch.cuda.get_rng_state(device) if on_gpu else None
    try:
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(before)
        if gpu_before is not None:
            torch.cuda.set_rng_state(gpu_before, device)
