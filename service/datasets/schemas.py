"""What comes in and goes out about datasets."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.catalog import DATASETS
from core.results import ImportReport
from core.specs import ImportOptions
from core.texts import LINES, NOT_IN_A_LINE
from service.jobs.schemas import JobErrorRead
from service.platform.openapi import DIGEST_EXAMPLE

DatasetState = Literal["awaiting_upload", "importing", "ready", "failed"]
_NAME = rf"^[^{NOT_IN_A_LINE}]*[^\s{NOT_IN_A_LINE}][^{NOT_IN_A_LINE}]*$"  # not only spaces
_ID = "ds_019b3c5e79c97e2f8c7d6e5f4a3b2c1d"
_BUILT_IN = {
    **DATASETS["digits"].model_dump(mode="json"),
    "id": None,
    "source": "built_in",
    "state": "ready",
    "available": True,
    "digest": None,
    "created_at": None,
}
_DETAIL = {
    **_BUILT_IN,
    "versions": [{"id": _ID, "digest": DIGEST_EXAMPLE, "created_at": "2026-01-15T10:03:41.000Z"}],
    "job_id": None,
    "options": None,
    "report": None,
    "error": None,
}


class DatasetCreate(ImportOptions):
    """A dataset to upload a file for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "animals", "image_size": 64}]})

    name: str = Field(min_length=1, max_length=200, pattern=_NAME)
    description: str | None = Field(None, max_length=1000, pattern=LINES)


class DatasetView(BaseModel):
    """A dataset and its fixed split protocol."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BUILT_IN]})

    id: str | None = Field(description="ds_...: what jobs call an uploaded dataset. Null for built-in ones.")
    name: str = Field(description="What jobs call a built-in dataset.")
    source: Literal["built_in", "upload"]
    state: DatasetState
    available: bool = Field(description="Whether a job can use it now.")
    description: str
    class_names: list[str] = Field(description="In the order of the labels; empty until it is imported.")
    input_shape: tuple[int, int, int] | None = Field(description="Channels, height, width.")
    train: int = Field(description="Images used for training.")
    validation: int = Field(description="Images held out of the training data; every selection uses these.")
    test: int = Field(description="Images touched once, for reporting.")
    needs_data_root: bool = Field(description="False for what needs no files beside the service.")
    files: list[str] = Field(description="What must lie under the data root, decompressed.")
    mean: list[float] | None = Field(description="Per-channel mean, for images scaled to [0, 1].")
    std: list[float] | None
    crop_padding: int | None = Field(description="Zero padding of the random training crop; 0 = no crop.")
    flip: bool | None = Field(description="Random horizontal flip in training.")
    digest: str | None = Field(description="sha256 over images, labels and splits of an uploaded dataset.")
    created_at: datetime | None


class DatasetVersion(BaseModel):
    """The dataset as it was when a job used it."""

    id: str
    digest: str = Field(description="sha256 over images, labels and splits.")
    created_at: datetime


class DatasetDetail(DatasetView):
    """A dataset: of a built-in one the versions your jobs have used, of an uploaded one its report."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DETAIL]})

    versions: list[DatasetVersion]
    job_id: str | None = Field(description="The newest import.")
    options: dict[str, Any] | None = Field(description="What was chosen when it was made.")
    report: ImportReport | None
    error: JobErrorRead | None = Field(description="Why the newest import failed.")
