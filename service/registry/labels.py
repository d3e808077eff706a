"""Tags and metadata: a set of short texts, and up to 16 pairs, that callers give what they have made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from core.texts import LINE, LINES, NOT_IN_A_LINE
from service.platform.errors import InvalidRequestError
from service.registry import repository
from service.registry.tables import Label

MAX_TAGS = 32
MAX_PAIRS = 16
TAG_KEY = ""

Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=LINE)]
Key = Annotated[str, Field(min_length=1, max_length=64, pattern=f"^[^={NOT_IN_A_LINE}]+$")]
Value = Annotated[str, Field(max_length=512, pattern=LINES)]


class LabelsPatch(BaseModel):
    """What to change; fields left out stay. A merge patch (RFC 7396): a key of metadata set to null goes."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"tags": ["production"], "metadata": {"team": "vision"}}]},
    )

    tags: list[Tag] | None = Field(None, max_length=MAX_TAGS, description="Replaces the whole set.")
    metadata: dict[Key, Value | None] | None = Field(
        None,
        max_length=MAX_PAIRS,
        description=f"Merged into what is there; {MAX_PAIRS} pairs at most remain.",
    )

    @model_validator(mode="after")
    def _changes_something(self) -> "LabelsPatch":
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        return self


@dataclass
class Labels:
    """What one thing carries."""

    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


def of_owners(session: Session, owner_ids: Sequence[str]) -> dict[str, Labels]:
    """The labels of each, also of those that have none."""
    found = {owner_id: Labels() for owner_id in owner_ids}
    for owner_id, key, value in repository.labels_of(session, owner_ids):
        if key == TAG_KEY:
            found[owner_id].tags.append(value)
        else:
            found[owner_id].metadata[key] = value
    return found


def change(session: Session, tenant_id: str, owner_id: str, patch: LabelsPatch) -> None:
    """Apply the patch. Raises InvalidRequestError when too many pairs would remain."""
    now = of_owners(session, [owner_id])[owner_id]
    tags = now.tags if patch.tags is None else sorted(set(patch.tags))
    merged = now.metadata | (patch.metadata or {})
    metadata = {key: value for key, value in merged.items() if value is not None}
    if len(metadata) > MAX_PAIRS:
        raise InvalidRequestError(f"{len(metadata)} pairs of metadata would remain; {MAX_PAIRS} are allowed.")
    pairs = [(TAG_KEY, tag) for tag in tags] + list(metadata.items())
    about = {"owner_id": owner_id, "kind": owner_id.partition("_")[0], "tenant_id": tenant_id}
    rows = [Label(**about, key=key, value=value) for key, value in pairs]
    repository.replace_labels(session, owner_id, rows)


def forget(session: Session, owner_id: str) -> None:
    """Drop every label of something that goes."""
    repository.replace_labels(session, owner_id, [])
