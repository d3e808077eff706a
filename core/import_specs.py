"""How an uploaded file becomes a dataset (pydantic, torch-free)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.approach_specs import Frozen
from core.job_options import Identifier, JobOptions

UploadFormat = Literal["image_folder", "npz", "idx", "cifar"]
MAX_IMAGE_SIZE = 512


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
    class_names: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        None,
        min_length=2,
        max_length=10_000,
        description="Names of labels 0, 1, ...; for folders, their names in the order wanted.",
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
        if self.class_names is not None and len(set(self.class_names)) != len(self.class_names):
            raise ValueError("class_names must not name a class twice")
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
