"""Vision Transformers as NeMo trains them: ViT-S and DeiT-S (arXiv 2010.11929, 2012.12877).

Width 384, 12 pre-norm blocks, no dropout; patches of 4 pixels, of 16 from 64-pixel images on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.architectures.layers import is_large
from core.architectures.registry import InputShape, register
from core.errors import InputShapeError

_WIDTH, _DEPTH, _MLP = 384, 12, 1536
_PATCH, _LARGE_PATCH = 4, 16
_NORM_EPS = 1e-12
_INIT_STD = 0.02


class Attention(nn.Module):
    """softmax(q k^T * scale) v per head; the scale is a constant, so that narrower heads compute the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, D) -> (N, T, D)."""
        q, k, v = (self._split(y) for y in (self.q(x), self.k(x), self.v(x)))
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (N, h, T, D/h)
        return self.proj(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # torch types calls as Any

    def _split(self, y: Tensor) -> Tensor:
        """(N, T, D) -> (N, h, T, D/h)."""
        return torch.unflatten(y, 2, (self.heads, -1)).transpose(1, 2)


class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_NORM_EPS)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_NORM_EPS)
        self.fc1 = nn.Linear(width, mlp)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(mlp, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, D) -> (N, T, D)."""
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))  # type: ignore[no-any-return]  # torch types calls as Any


class VisionTransformer(nn.Module):
    """Patches, learned positions, encoder; one linear head on the class token.

    `distilled` adds DeiT's distillation token with a head of its own. The logits are the mean of both heads;
    `core.architectures.distillation.recorded_heads` gives training each head's own.
    """

    def __init__(self, num_classes: int, input_shape: InputShape, *, heads: int, distilled: bool) -> None:
        super().__init__()
        channels, height, width = input_shape
        patch = _LARGE_PATCH if is_large(input_shape) else _PATCH
        if height % patch or width % patch:
            raise InputShapeError(f"{height}x{width} pixels do not divide into patches of {patch}x{patch}")
        special = 2 if distilled else 1
        self.distilled = distilled
        self.patches = nn.Conv2d(channels, _WIDTH, kernel_size=patch, stride=patch)
        self.special_tokens = nn.Parameter(torch.zeros(1, special, _WIDTH))
        count = (height // patch) * (width // patch) + special
        self.positions = nn.Parameter(torch.zeros(1, count, _WIDTH))
        self.blocks = nn.Sequential(*(EncoderBlock(_WIDTH, heads, _MLP) for _ in range(_DEPTH)))
        self.norm = nn.LayerNorm(_WIDTH, eps=_NORM_EPS)
        self.head = nn.Linear(_WIDTH, num_classes)
        if distilled:
            self.distillation_head = nn.Linear(_WIDTH, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """Truncated normals of standard deviation 0.02; biases 0."""
        for parameter in (self.special_tokens, self.positions):
            nn.init.trunc_normal_(parameter, std=_INIT_STD)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(layer.weight, std=_INIT_STD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised images (N, C, H, W)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)  # (N, T, D)
        tokens = torch.cat([self.special_tokens.expand(x.shape[0], -1, -1), tokens], dim=1)
        tokens = self.norm(self.blocks(tokens + self.positions))
        logits: Tensor = self.head(tokens[:, 0])
        return (logits + self.distillation_head(tokens[:, 1])) / 2 if self.distilled else logits


@register
def vit_small(num_classes: int, input_shape: InputShape) -> nn.Module:
    """12 heads of 32, as NeMo's code has it (the paper of ViT does not name a small form)."""
    return VisionTransformer(num_classes, input_shape, heads=12, distilled=False)


@register
def deit_small(num_classes: int, input_shape: InputShape) -> nn.Module:
    """6 heads of 64, class and distillation token."""
    return VisionTransformer(num_classes, input_shape, heads=6, distilled=True)
