"""One import, from the parts to the canonical files and the report."""

from collections.abc import Callable, Sequence
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from core.catalog import DatasetInfo
from core.errors import DatasetInvalidError, ImageSizeError
from core.importing import canonical, splits
from core.importing.canonical import DESCRIPTION, IMAGES, LABELS, Collected, Written
from core.importing.formats import open_source
from core.importing.parts import PartsFile, verify
from core.importing.sources import Overview, Source
from core.results import FileRef, ImportReport, ImportResult
from core.specs import ImportOptions, ImportSpec

Tell = Callable[[str, float], None]
_LARGEST_AS_IT_IS = 224
_SMALLEST = 8
_SHOWN_SIZES = 20
_UNBALANCED = 10.0
_FILES = (
    ("images", IMAGES, "application/octet-stream"),
    ("labels", LABELS, "application/octet-stream"),
    ("dataset", DESCRIPTION, "application/json"),
)


def run_import(spec: ImportSpec, parts: Sequence[Path], staging: Path, tell: Tell) -> ImportResult:
    """Write the canonical files into `staging`. `tell(phase, share)`: how much of a phase is done.

    Raises CoreError's kinds for whatever is wrong with the upload.
    """
    verify(parts, spec.size, spec.sha256, lambda share: tell("verify", share))
    tell("look", 0.0)
    source = open_source(lambda: cast(IO[bytes], BufferedReader(PartsFile(parts))), spec.size, spec.options)
    shape = _shape(source.overview, spec.options)
    scratch = Collected(staging / "pixels.raw", shape, spec.options.image_size, spec.max_bytes)
    with closing(scratch) as collected:
        _collect(source, collected, tell)
        return _write(spec, source.overview, collected, staging, tell)


def _shape(found: Overview, options: ImportOptions) -> tuple[int, int, int]:
    """(C, H, W) of every image to keep. Raises ImageSizeError."""
    if not found.sizes:
        raise DatasetInvalidError("None of the images can be read.")
    channels = options.channels or (1 if found.grey else 3)
    if options.image_size is not None:
        return channels, options.image_size, options.image_size
    [(width, height), _], *others = found.sizes.most_common(2)
    if others:
        raise ImageSizeError(f"The images have {len(found.sizes)} sizes; give an image_size.")
    if max(width, height) > _LARGEST_AS_IT_IS or min(width, height) < _SMALLEST:
        allowed = f"{_SMALLEST} to {_LARGEST_AS_IT_IS}"
        raise ImageSizeError(f"The images have {width}x{height} pixels, not {allowed}; give an image_size.")
    return channels, height, width


def _collect(source: Source, collected: Collected, tell: Tell) -> None:
    for number, sample in enumerate(source.samples()):
        collected.add(sample)
        tell("convert", number / max(1, source.overview.count))
    collected.finish()


def _write(
    spec: ImportSpec, found: Overview, collected: Collected, staging: Path, tell: Tell
) -> ImportResult:
    options = spec.options
    labels = np.frombuffer(collected.labels, np.int64)
    given = np.frombuffer(collected.splits, np.int8)
    if len(labels) == 0:
        raise DatasetInvalidError("The file has no images.")
    fractions = {splits.TEST: options.test_fraction, splits.VALIDATION: options.validation_fraction}
    chosen = splits.complete(given, labels, fractions, options.split_seed)
    counts = splits.per_class(chosen, labels, found.class_names)
    order = splits.order(chosen, options.split_seed)
    written = canonical.write(staging, collected, chosen, order, lambda share: tell("write", share))
    info = _info(spec, found, collected.shape, chosen, written)
    canonical.describe(staging, info, written.digest)
    return ImportResult(
        dataset_id=spec.dataset_id,
        digest=written.digest,
        info=info,
        report=_report(found, collected, given, chosen, counts),
        files=[
            FileRef.model_validate({"role": role, "path": name, "filename": name, "media_type": media})
            for role, name, media in _FILES
        ],
    )


def _info(
    spec: ImportSpec, found: Overview, shape: tuple[int, int, int], chosen: NDArray[np.int8], written: Written
) -> DatasetInfo:
    train, validation, test = (int((chosen == split).sum()) for split in range(3))
    mean, std = written.mean_and_std()
    size = min(shape[1:])
    padding = spec.options.crop_padding
    return DatasetInfo(
        name=spec.dataset_name,
        description=f"Uploaded as {spec.filename}.",
        class_names=tuple(found.class_names),
        input_shape=shape,
        train=train,
        validation=validation,
        test=test,
        needs_data_root=False,
        mean=mean,
        std=std,
        crop_padding=(size // 8 if size >= 32 else 0) if padding is None else padding,
        flip=spec.options.flip,
    )


def _report(
    found: Overview,
    collected: Collected,
    given: NDArray[np.int8],
    chosen: NDArray[np.int8],
    counts: dict[str, dict[str, int]],
) -> ImportReport:
    totals = [sum(count.values()) for count in counts.values()]
    balance = round(max(totals) / min(totals), 2)
    duplicates, across = _duplicates(np.frombuffer(collected.hashes, np.uint64), chosen)
    known = set(given.tolist())
    named = "seeded" if known == {splits.UNKNOWN} else "given" if len(known) == 3 else "completed"
    warnings = [
        text
        for text, holds in (
            (f"The largest class has {balance} times the images of the smallest.", balance >= _UNBALANCED),
            (f"{across} images are also in another split; figures on it flatter.", across > 0),
            (
                f"{collected.corrupt_count} images cannot be read and were left out.",
                collected.corrupt_count > 0,
            ),
        )
        if holds
    ]
    return ImportReport(
        format=found.format,
        samples=len(chosen),
        per_class=counts,
        sizes={f"{w}x{h}": count for (w, h), count in found.sizes.most_common(_SHOWN_SIZES)},
        pixels=dict(found.pixels.most_common()),
        splits=named,
        balance=balance,
        duplicates=duplicates,
        duplicates_across_splits=across,
        corrupt=collected.corrupt_count,
        corrupt_files=collected.corrupt,
        ignored=found.ignored,
        warnings=warnings,
    )


def _duplicates(hashes: NDArray[np.uint64], chosen: NDArray[np.int8]) -> tuple[int, int]:
    """Images equal to an earlier one; and images whose equal is in another split."""
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    lowest, highest = np.full(len(sizes), 3, np.int8), np.full(len(sizes), -1, np.int8)
    np.minimum.at(lowest, group, chosen)
    np.maximum.at(highest, group, chosen)
    return int(len(hashes) - len(sizes)), int((lowest != highest)[group].sum())
