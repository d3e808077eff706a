"""Images with fixed splits, and batches of them on any device."""

from core.datasets.batches import BatchPlan, StopRequest, augment, batches, draw, normalise, stoppable
from core.datasets.images import ImageData, ImageSplit
from core.datasets.matching import as_seen_by
from core.datasets.registry import load_dataset
from core.datasets.uploaded import load_uploaded, read_description

__all__ = [
    "BatchPlan", "ImageData", "ImageSplit", "StopRequest", "as_seen_by", "augment", "batches", "draw",
    "load_dataset", "load_uploaded", "normalise", "read_description", "stoppable",
]  # fmt: skip
