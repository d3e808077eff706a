"""What the engine refuses, as named facts with stable codes (torch-free)."""


class CoreError(Exception):
    """A fact about the request or the data that stops the work; `code` is stable and shown to users."""

    code = "engine_error"


class UnknownArchitectureError(CoreError):
    """No architecture of this name is registered."""

    code = "unknown_architecture"


class UnknownDatasetError(CoreError):
    """No dataset of this name is registered."""

    code = "unknown_dataset"


class DataRootMissingError(CoreError):
    """The dataset's files are not under the data root, or no data root is set."""

    code = "data_root_missing"


class DatasetCorruptError(CoreError):
    """The dataset's files are present but cannot be read (truncated, wrong checksum)."""

    code = "dataset_corrupt"


class UploadDigestError(CoreError):
    """The uploaded parts together are not the file whose sha256 was announced."""

    code = "upload_digest_mismatch"


class UploadFormatError(CoreError):
    """The uploaded file is in none of the accepted formats, or is not what it was said to be."""

    code = "upload_format_unknown"


class ArchiveUnsafeError(CoreError):
    """An archive has names, links or devices that no honest archive has."""

    code = "archive_unsafe"


class ImportTooLargeError(CoreError):
    """What the file holds, decompressed, is more than may be read or kept."""

    code = "import_too_large"


class ImageSizeError(CoreError):
    """The images have several sizes, or a large one, and no `image_size` was given."""

    code = "image_size_needed"


class DatasetInvalidError(CoreError):
    """Labels, classes or values from which no classifier can be trained."""

    code = "dataset_invalid"


class DatasetMismatchError(CoreError):
    """The dataset's classes or images are not those of the network."""

    code = "dataset_mismatch"


class StorageFullError(CoreError):
    """The machine has no room for what is being written."""

    code = "storage_full"


class InputShapeError(CoreError):
    """The architecture cannot take images of this shape."""

    code = "input_shape_unsupported"


class UntraceableModelError(CoreError):
    """torch.fx cannot trace the network; the message names the line."""

    code = "untraceable_model"


class MissingPackageError(CoreError):
    """What was asked for needs an optional package that is not installed."""

    code = "package_missing"


class ClassNotInModelError(CoreError):
    """A requested class is not among the model's classes."""

    code = "class_not_in_model"


class MaskMismatchError(CoreError):
    """A mask names other units, or other widths, than the network has."""

    code = "mask_mismatch"


class EmptyUnitError(CoreError):
    """A mask keeps no neuron of some unit; a layer without channels cannot be built."""

    code = "empty_unit"


class WeightsFormatError(CoreError):
    """An uploaded file is not a whole and honest safetensors file."""

    code = "weights_format_invalid"


class WeightsTypeError(CoreError):
    """An uploaded tensor has a type that no network here computes with."""

    code = "weights_dtype_unsupported"


class WeightsMismatchError(CoreError):
    """Uploaded tensors are not those of the named architecture, by name or shape."""

    code = "weights_mismatch"


class WeightsNotFiniteError(CoreError):
    """An uploaded tensor has NaN or infinite numbers."""

    code = "weights_not_finite"


class AnswersNotFiniteError(CoreError):
    """A network answers NaN or infinity, so nothing can be measured of it."""

    code = "answers_not_finite"


class ArtifactError(CoreError):
    """A stored network cannot be restored: digest, format or tensors do not fit its recipe."""

    code = "artifact_invalid"


class InitialModelMismatchError(CoreError):
    """The weights that a training is to start from are not those of its architecture."""

    code = "initial_model_mismatch"


class TrainingDivergedError(CoreError):
    """The loss became NaN or infinite."""

    code = "training_diverged"


class UnsupportedFormError(CoreError):
    """The model has no mask generators, so the requested module form does not exist for it."""

    code = "form_unsupported"


class ExportUnsupportedError(CoreError):
    """A format cannot express an operation of the network's."""

    code = "export_unsupported"


class DeviceUnavailableError(CoreError):
    """The requested device is not on this machine."""

    code = "device_unavailable"


class Interrupted(Exception):  # noqa: N818 - not an error: the caller asked the loop to stop
    """The loop was asked to stop; a checkpoint was written and reported before this was raised."""
