"""What MwT and NeMo share: mask generators on every unit, and modules from how often the masks fire."""

from collections.abc import Sequence

from torch import fx, nn

from core.approaches.generators import MaskGenerator
from core.approaches.protocol import LabelledBatches
from core.derivation import Derivation, derive_mask
from core.statistics import ClassStatistics, StatisticsAccumulator, evaluating
from core.surgery.masking import insert_generators, recorded_masks


class MaskedApproach:
    """Attach generators, count firing masks, keep the frequent neurons; the subclass says the loss."""

    def attach(self, model: nn.Module) -> fx.GraphModule:
        """Every unit gets a generator, and a BatchNorm if it has none, as in the published MaskConvBN."""
        return insert_generators(model, MaskGenerator.for_unit, add_norm=True)

    def statistics(
        self, network: fx.GraphModule, batches: LabelledBatches, num_classes: int
    ) -> ClassStatistics:
        """A neuron fires for a sample when its mask is above zero; the mask is its amplitude."""
        sums = StatisticsAccumulator(num_classes)
        with evaluating(network), recorded_masks(network) as masks:
            for images, labels in batches:
                network(images)
                sums.add(masks, labels)
        return sums.result()

    def derive(self, statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
        """See `core.derivation.derive_mask`."""
        return derive_mask(statistics, classes, threshold)
