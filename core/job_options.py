"""What every kind of job accepts, whatever it computes (pydantic, torch-free)."""

from typing import Annotated, Literal

from pydantic import Field

from core.approach_specs import Frozen
from core.texts import LINE, LINES

IDENTIFIER = r"^[a-z]+_[0-9a-z]+$"
_NAMED = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
REFERENCE = rf"^([a-z]+_[0-9a-z]{{1,60}}|{_NAMED}@{_NAMED})$"
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=IDENTIFIER)]
# A model by its id, or by `name@alias`, `name@version`, `name@latest`; what is kept of it is the id.
Reference = Annotated[str, Field(min_length=1, max_length=129, pattern=REFERENCE)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64, pattern=LINE)]
MetadataText = Annotated[str, Field(max_length=512, pattern=LINES)]


class JobOptions(Frozen):
    """What every kind of job accepts beside its own parameters; not part of the spec's digest."""

    priority: int = Field(50, ge=0, le=100, description="Larger runs earlier.")
    max_runtime_s: int | None = Field(
        None, ge=1, le=30 * 86400, description="Fail the job after this many seconds."
    )
    expires_after_s: int | None = Field(
        None, ge=1, le=30 * 86400, description="Give up unless it was started this soon after being accepted."
    )
    metadata: dict[MetadataKey, MetadataText] = Field(
        default_factory=dict, max_length=16, description="Your own labels; returned unchanged."
    )
    webhook_id: Identifier | None = Field(
        None, description="One of your webhooks, to be told of this job also if it does not hear of all."
    )


class TrainOptions(JobOptions):
    """What a training accepts beside what it computes; not part of the spec's digest."""

    on_oom: Literal["fail", "accumulate"] = Field(
        "fail",
        description="Out of memory: fail, or begin anew with twice the gradient_accumulation, up to 4 times.",
    )
