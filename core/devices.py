"""Where the engine computes, and how reproducibly."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.utils.deterministic
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.errors import DeviceUnavailableError

# Its one attribute is made at run time, out of the type checker's sight.
_memory: Any = torch.utils.deterministic


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one.

    Raises:
        DeviceUnavailableError: cuda was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceUnavailableError("this worker has no CUDA device; ask for device auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


@contextmanager
def deterministic_algorithms(device: torch.device, *, enabled: bool) -> Iterator[None]:
    """Choose reproducible kernels inside the block and restore the choice after."""
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, fill = torch.backends.cudnn.benchmark, _memory.fill_uninitialized_memory
    if enabled and device.type == "cuda":
        # cuBLAS reads it when its first handle is made; nothing else makes its products reproducible.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # On a GPU a layer without a reproducible kernel should cost reproducibility, not the job.
    torch.use_deterministic_algorithms(enabled, warn_only=device.type == "cuda")
    torch.backends.cudnn.benchmark = not enabled
    # It finds reads of uninitialised memory, which is debugging, and costs some per cent of every step.
    _memory.fill_uninitialized_memory = False
    # Attention in one kernel is reproducible only where layers without such a kernel are refused.
    plain = sdpa_kernel(SDPBackend.MATH) if enabled and device.type == "cuda" else nullcontext()
    try:
        with plain:
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)
        torch.backends.cudnn.benchmark = benchmark
        _memory.fill_uninitialized_memory = fill
