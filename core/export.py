"""Export to `torch.export` programs: one file that needs nothing but torch to run."""

from pathlib import Path

import torch
from torch import Tensor, nn

from core.artifacts import Recipe, program_metadata


class _Deployed(nn.Module):
    """Normalisation and network in one: images in [0, 1] in, logits out."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(recipe.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(recipe.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def export_program(network: nn.Module, recipe: Recipe, path: Path) -> None:
    """Write a `.pt2` taking float32 images (N, C, H, W) in [0, 1], any N >= 1, returning logits (N, classes).

    Callers may run the file; the service never loads one (`torch.export.load` can unpickle).
    """
    deployed = _Deployed(network, recipe).eval()
    example = torch.zeros(2, *recipe.input_shape)
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(deployed, (example,), dynamic_shapes={"images": {0: batch}})
    torch.export.save(program, path, extra_files=program_metadata(recipe))
