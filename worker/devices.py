"""The device of a worker, said in its runners' environment, because torch reads it when it is imported."""

from collections.abc import Mapping

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def environment_for(device: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a runner's environment needs so that it sees this device and no other.

    `cuda:1` counts among those that the worker itself may see; names of GPUs and of their parts (GPU-...,
    MIG-...) are passed on as they are. `auto` leaves the environment alone.
    """
    if device == "auto":
        return {}
    if device == "cpu":
        return {_VISIBLE: ""}
    if not device.startswith("cuda:"):
        return {_VISIBLE: device}
    number = int(device.removeprefix("cuda:"))
    visible = [name.strip() for name in inherited.get(_VISIBLE, "").split(",") if name.strip()]
    # The order that nvidia-smi shows; CUDA's own puts the fastest first.
    order = {"CUDA_DEVICE_ORDER": inherited.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")}
    if not visible:
        return {_VISIBLE: str(number), **order}
    # One that is not there stays invisible: a job that asks for cuda is then refused by name.
    return {_VISIBLE: visible[number] if number < len(visible) else "", **order}
