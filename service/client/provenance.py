"""Where things come from, what one should know of them, and several side by side: as answered."""

from typing import Any

from pydantic import Field

from service.client.schemas import Resource


class MadeBy(Resource):
    """The job that made something, and what it computed with."""

    job_id: str
    kind: str
    spec_sha256: str
    attempt: int
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class Origin(Resource):
    """The model that everything is cut from, and its data."""

    id: str
    dataset: str | None = None
    dataset_digest: str | None = None
    initial_model_id: str | None = None
    made_by: MadeBy


class Users(Resource):
    total: int
    ids: list[str]


class Lineage(Resource):
    """Upstream to the data, downstream to whatever uses it."""

    id: str
    kind: str
    model: Origin
    made_by: MadeBy | None = None
    made_of: list[str] = Field(default_factory=list)
    modules: Users
    compositions: Users
    models: Users | None = None


class Card(Resource):
    """What one should know before using something."""

    id: str
    kind: str
    title: str
    summary: str
    classes: list[str] = Field(default_factory=list)
    intended_use: list[str] = Field(default_factory=list)
    limits: list[str] = Field(default_factory=list)
    usage: str = ""


class ComparedRow(Resource):
    name: str
    split: str | None = None
    class_name: str | None = None
    values: list[Any] = Field(default_factory=list)
    differences: list[float | None] | None = None
    same: bool


class Comparison(Resource):
    """Several side by side; `values` in the order of `ids`."""

    ids: list[str]
    rows: list[ComparedRow]
