"""Where the engine computes: what is asked for, what exists, and what is restored."""

import pytest
import torch

from core.devices import deterministic_algorithms, resolve_device
from core.errors import DeviceUnavailableError

CPU = torch.device("cpu")


def test_auto_and_cpu_exist_everywhere() -> None:
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(DeviceUnavailableError) as caught:
        resolve_device("cuda")
    assert caught.value.code == "device_unavailable"


def test_the_choice_of_kernels_is_restored_after_a_failure() -> None:
    def fail() -> None:
        with deterministic_algorithms(CPU, enabled=True):
            assert torch.are_deterministic_algorithms_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()
