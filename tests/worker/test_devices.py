"""A worker's device, as its runners see it."""

import pytest

from worker.devices import environment_for

GPU = "GPU-7f3c1e52-9d0b-4c61-8a5e-2f1d0c9b8a76"
MIG = "MIG-GPU-7f3c1e52-9d0b-4c61-8a5e-2f1d0c9b8a76/1/0"


@pytest.mark.parametrize(
    ("device", "visible", "seen"),
    [
        ("auto", "2,3", None),
        ("cpu", "2,3", ""),
        ("cuda:0", None, "0"),
        ("cuda:1", "2,3", "3"),
        ("cuda:1", f"{GPU}, {MIG}", MIG),
        ("cuda:2", "2,3", ""),  # it may not see a third one
        (GPU, "2,3", GPU),
        (MIG, None, MIG),
    ],
)
def test_a_runner_sees_its_workers_device_only(device: str, visible: str | None, seen: str | None) -> None:
    inherited = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert environment_for(device, inherited).get("CUDA_VISIBLE_DEVICES") == seen


def test_numbers_count_as_nvidia_smi_does_unless_told_otherwise() -> None:
    assert environment_for("cuda:0", {})["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    told = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert environment_for("cuda:0", told)["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
