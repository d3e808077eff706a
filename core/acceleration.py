"""What makes a training step fast without changing what it computes: memory layout, arithmetic, pooling."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, fx, nn

from core.surgery.sites import GENERATORS

# Channels last: the convolutions of oneDNN and of cuDNN's tensor cores read it without reordering. With
# `pooled_generators` it saves a quarter of a step of ResNet18 with generators (one processor core, measured).
# torch.compile was measured too: half a minute of compiling, and with generators 2 % faster on a processor.
LAYOUT = torch.channels_last


def arithmetic(precision: str, device: torch.device) -> torch.dtype:
    """The type in which a training's products are computed: `auto` is bfloat16 where the hardware has it.

    Two cores with AVX-512 BF16 took 0.5 to 0.7 times as long for a step of small_cnn, VGG16 and ResNet18;
    LeNet-5, whose layers are small, and MobileNet, half of whose layers are depthwise, gain nothing.
    """
    fast = precision == "bfloat16" or (precision == "auto" and _has_bfloat16(device))
    return torch.bfloat16 if fast else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not asked of oneDNN: it says yes on older processors too, where bfloat16 is slower than float32. What is
    # asked has no public name, so it may be gone in another torch.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Products in `dtype` inside the block; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16)


def fast_layout(images: Tensor) -> Tensor:
    """Images (N, C, H, W), unchanged, in the layout of the network's weights."""
    return images.contiguous(memory_format=LAYOUT)


def evaluation_batch(device: torch.device) -> int:
    """Images at a time where no gradient is kept: the activations of 128 stay in a processor's cache.

    SmallCNN at 32x32 pixels, one core: 0.28 ms an image, against 0.57 ms in batches of 512.
    """
    return 512 if device.type == "cuda" else 128


@contextmanager
def pooled_generators(network: fx.GraphModule) -> Iterator[None]:
    """Inside the block each mask generator gets the spatial mean (N, C, 1, 1) of its unit's input.

    Generators average their input anyway. The gradient of a mean is a whole feature map in the wrong layout,
    which slows down every layer behind it; that of a sum is one number per channel.
    """
    with ExitStack() as handles:
        for generator in getattr(network, GENERATORS, nn.Module()).children():
            if any(isinstance(layer, nn.AdaptiveAvgPool2d) for layer in generator.children()):
                handles.callback(generator.register_forward_pre_hook(_pool).remove)
        yield


def _pool(_generator: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    x = inputs[0]
    return (x.sum(dim=(2, 3), keepdim=True) * (1 / (x.shape[2] * x.shape[3])),)
