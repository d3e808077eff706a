"""What MwT and NeMo share: mask generators on every unit, and modules from how often the masks fire."""

from torch import fx, nn

from core.approaches.base import BaseApproach
from core.approaches.generators import MaskGenerator, TokenMaskGenerator
from core.errors import UntraceableModelError
from core.surgery.masking import has_generators, insert_generators
from core.units import Unit


class MaskedApproach(BaseApproach):
    """Attach generators; the subclass says the loss."""

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:  # noqa: ARG002 - Approach
        """A generator for every unit, and a BatchNorm if it has none, as in the published MaskConvBN.

        Hidden Linear layers have no masks, as published.

        Raises:
            UntraceableModelError: there are no other units.
        """
        network = insert_generators(model, _generator, add_norm=True)
        if not has_generators(network):
            raise UntraceableModelError(
                "MwT and NeMo mask convolutions and encoder layers; this network has none"
            )
        return network


def _generator(unit: Unit) -> MaskGenerator | TokenMaskGenerator | None:
    return None if unit.hidden else MaskGenerator.for_unit(unit)
