"""What MwT and NeMo share: mask generators on every unit, and modules from how often the masks fire."""

from torch import fx, nn

from core.approaches.base import BaseApproach
from core.approaches.generators import MaskGenerator
from core.surgery.masking import insert_generators


class MaskedApproach(BaseApproach):
    """Attach generators; the subclass says the loss."""

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:  # noqa: ARG002 - Approach
        """Every unit gets a generator, and a BatchNorm if it has none, as in the published MaskConvBN."""
        return insert_generators(model, MaskGenerator.for_unit, add_norm=True)
