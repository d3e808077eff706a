"""What is told about what a tenant uses."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.registry.search import Moment

_EXAMPLE: dict[str, Any] = {
    "stored": {
        "bytes": 52_428_800,
        "files": 42,
        "by_role": [
            {"role": "program", "files": 20, "bytes": 41_943_040},
            {"role": "weights", "files": 22, "bytes": 10_485_760},
        ],
    },
    "counts": {"models": 2, "modules": 20, "compositions": 0, "datasets": 0, "jobs": {"succeeded": 4}},
    "compute": {
        "from": "2026-10-22T10:00:00Z",
        "to": "2026-11-21T10:00:00Z",
        "seconds": 3610.5,
        "by_kind": [
            {"kind": "extract", "attempts": 2, "seconds": 10.5},
            {"kind": "train", "attempts": 2, "seconds": 3600.0},
        ],
    },
    "quotas": {
        "running_jobs": {"used": 0, "limit": 2, "left": 2},
        "waiting_jobs": {"used": 0, "limit": None, "left": None},
        "stored_bytes": {"used": 52_428_800, "limit": 1_073_741_824, "left": 1_021_313_024},
    },
}


@dataclass(frozen=True)
class UsagePeriod:
    """FastAPI dependency: the period that compute is told of."""

    start: Annotated[Moment | None, Query(alias="from", description="30 days before `to`, if left out.")] = (
        None
    )
    end: Annotated[Moment | None, Query(alias="to", description="Now, if left out.")] = None


class RoleStored(BaseModel):
    """The files of one role."""

    role: str = Field(
        description="weights, recipe, statistics, program or onnx of models, modules and compositions; "
        "images, labels or dataset of uploaded datasets; upload: announced and not removed yet."
    )
    files: int
    bytes: int


class Stored(BaseModel):
    """Files in the store; one counts for each thing that has it.

    Not among them: checkpoints of jobs, ended or not, and what a running attempt has not handed in yet.
    """

    bytes: int
    files: int
    by_role: list[RoleStored]


class Counts(BaseModel):
    """How many there are; `datasets`: uploaded ones."""

    models: int
    modules: int
    compositions: int
    datasets: int
    jobs: dict[str, int] = Field(description="By state; states without jobs are left out.")


class KindComputed(BaseModel):
    """The attempts at one kind of job."""

    kind: str
    attempts: int
    seconds: float


class Compute(BaseModel):
    """Running time of attempts, whatever they ended with, as far as it lies within the period.

    By the clock: an attempt counts once, however many devices it has.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    start: AwareDatetime = Field(serialization_alias="from")
    end: AwareDatetime = Field(serialization_alias="to")
    seconds: float
    by_kind: list[KindComputed]


class Quota(BaseModel):
    """One limit; null: none."""

    used: int
    limit: int | None
    left: int | None


class Quotas(BaseModel):
    """What applies to the tenant: its own limits, else the service's."""

    running_jobs: Quota
    waiting_jobs: Quota
    stored_bytes: Quota


class Usage(BaseModel):
    """What a tenant has and has used."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    stored: Stored
    counts: Counts
    compute: Compute
    quotas: Quotas
