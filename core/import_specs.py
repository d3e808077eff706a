"""How an uploaded file becomes a dataset, or a model (pydantic, torch-free)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from core.approach_specs import Frozen
from core.job_options import Identifier, JobOptions
from core.texts import LINE
from core.train_specs import Architecture, Dataset

UploadFormat = Literal["image_folder", "npz", "idx", "cifar"]
MAX_IMAGE_SIZE = 512


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("class_names must not name a class twice")
    return names


ClassNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200, pattern=LINE)]],
    Field(min_length=2, max_length=10_000),
    AfterValidator(_distinct),
]


class ImportOptions(Frozen):
    """What can be chosen about an uploaded dataset; recorded with it."""

    format: UploadFormat | None = Field(None, description="Null: seen from the content.")
    image_size: int | None = Field(
        None,
        ge=8,
        le=MAX_IMAGE_SIZE,
        description="Cut each image to its middle square and resize it to so many pixels. "
        "Null: images stay as they are, which needs one size for all, of at most 224 pixels.",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 = grey, 3 = RGB. Null: 1 where all images are grey."
    )
    class_names: ClassNames | None = Field(
        None, description="Names of labels 0, 1, ...; for folders, their names in the order wanted."
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of each class held out for selection, where the file has no split.",
    )
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of each class held out for reporting, where the file has no split.",
    )
    split_seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Of the order of the images and of the splits."
    )
    crop_padding: int | None = Field(
        None, ge=0, le=64, description="Random training crop. Null: an eighth of the size, from 32 pixels on."
    )
    flip: bool = Field(False, description="Random horizontal flip in training.")

    @model_validator(mode="after")
    def _something_is_left(self) -> "ImportOptions":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on")
        return self


class ImportSpec(JobOptions):
    """Read an uploaded file and keep it as a dataset. Made by completing an upload, not by POST /v1/jobs."""

    kind: Literal["import"] = "import"
    dataset_id: Identifier
    dataset_name: str
    upload_id: Identifier
    filename: str
    sha256: str = Field(description="Of the whole file.")
    size: int = Field(description="Bytes of the whole file.")
    max_bytes: int = Field(description="The dataset may take no more.")
    options: ImportOptions


InputShape = Annotated[
    list[Annotated[int, Field(ge=1, le=MAX_IMAGE_SIZE)]], Field(min_length=3, max_length=3)
]
Means = Annotated[list[float], Field(min_length=1, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=3)]


class ImportModelOptions(Frozen):
    """What must be said about weights that were trained elsewhere."""

    architecture: Architecture = Field(
        description="Registered architecture, or a classifier of torchvision or timm by its name there."
    )
    dataset: Dataset | None = Field(
        None,
        description="What it tells apart: built-in dataset by name, or uploaded one by id (ds_...). Classes, "
        "image size and normalisation that are not given are the dataset's.",
    )
    class_names: ClassNames | None = Field(None, description="In the order of the outputs.")
    input_shape: InputShape | None = Field(None, description="Channels (1 or 3), height, width.")
    mean: Means | None = Field(
        None, description="By which images scaled to [0, 1] are normalised, for each channel."
    )
    std: Deviations | None = None

    @model_validator(mode="after")
    def _says_everything(self) -> "ImportModelOptions":
        needed = ("class_names", "input_shape", "mean", "std")
        unsaid = [name for name in needed if self.dataset is None and getattr(self, name) is None]
        if unsaid:
            raise ValueError(f"where no dataset says it, this is needed too: {', '.join(unsaid)}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("give mean and std, or neither")
        return self


class ImportModelSpec(JobOptions):
    """Read uploaded weights and keep them as a model. Made by POST /v1/models, not by POST /v1/jobs."""

    kind: Literal["import_model"] = "import_model"
    upload_id: Identifier
    filename: str
    sha256: str = Field(description="Of the whole file.")
    size: int = Field(description="Bytes of the whole file.")
    architecture: Architecture
    dataset: Dataset | None
    class_names: ClassNames
    input_shape: InputShape
    mean: Means
    std: Deviations
    name: str | None = Field(description="Of the model, which is its next version.")
    tags: list[str] = Field(description="Of the model; its metadata is the job's.")
