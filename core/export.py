"""Export to files that need nothing of ours to run: `torch.export` programs and ONNX models."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

from core.artifacts import Recipe, program_metadata
from core.errors import ExportUnsupportedError, MissingPackageError


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

    Raises:
        ExportUnsupportedError: torch.export cannot trace the network.
    """
    deployed = _Deployed(network, recipe).eval()
    example = torch.zeros(2, *recipe.input_shape)
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad():
            program = torch.export.export(deployed, (example,), dynamic_shapes={"images": {0: batch}})
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:  # torch.export has no error of its own
        raise _unsupported("a torch.export program", recipe, error) from error
    torch.export.save(program, path, extra_files=program_metadata(recipe))


def require_onnx() -> None:
    """Raises MissingPackageError if the packages of the extra `onnx` are not installed."""
    try:
        import onnx  # noqa: F401 - whether it is there
        import onnxscript  # noqa: F401 - what torch.onnx writes with
    except ImportError as error:
        message = "ONNX needs packages that this worker lacks: pip install 'cleave[onnx]'"
        raise MissingPackageError(message) from error


def export_onnx(network: nn.Module, recipe: Recipe, path: Path) -> None:
    """Write an ONNX model: `images` as for `export_program` in, `logits` out; `cleave.json` in its metadata.

    Raises:
        MissingPackageError: the packages of the extra `onnx` are not installed.
        ExportUnsupportedError: ONNX lacks an operation of the network's.
    """
    require_onnx()
    import onnx

    deployed = _Deployed(network, recipe).eval()
    example = torch.zeros(2, *recipe.input_shape)
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), redirect_stdout(io.StringIO()):  # torch prints its progress
            program = torch.onnx.export(
                deployed, (example,), input_names=["images"], output_names=["logits"], dynamo=True,
                dynamic_shapes={"images": {0: batch}}, verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise _unsupported("ONNX", recipe, error) from error
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    onnx.helper.set_model_props(model, program_metadata(recipe))
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def _unsupported(what: str, recipe: Recipe, error: Exception) -> ExportUnsupportedError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ExportUnsupportedError(
        f"{recipe.architecture} cannot be written as {what} ({reason}); ask for other formats"
    )
