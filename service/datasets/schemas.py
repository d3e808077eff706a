"""What goes out about datasets."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from core.catalog import DATASETS, DatasetInfo
from service.platform.openapi import DIGEST_EXAMPLE

_EXAMPLE = {**DATASETS["digits"].model_dump(mode="json"), "available": True}


class DatasetView(DatasetInfo):
    """A built-in dataset and its fixed split protocol."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    available: bool = Field(description="False while its files need a data root that is not there.")


class DatasetVersion(BaseModel):
    """The dataset as it was when a job used it."""

    id: str
    digest: str = Field(description="sha256 over images, labels and splits.")
    created_at: datetime


class DatasetDetail(DatasetView):
    """A dataset and the versions that your jobs have used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "versions": [
                        {
                            "id": "ds_019b3c5e79c97e2f8c7d6e5f4a3b2c1d",
                            "digest": DIGEST_EXAMPLE,
                            "created_at": "2026-01-15T10:03:41.000Z",
                        }
                    ],
                }
            ]
        }
    )

    versions: list[DatasetVersion]
