"""What is told about API keys, the audit log and usage."""

from datetime import datetime

from pydantic import ConfigDict, Field

from service.client.schemas import Resource


class ApiKey(Resource):
    """A key. `api_key` is only in the answers to `create` and `rotate`."""

    id: str
    tenant: str
    name: str
    scope: str
    state: str
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    previous_until: datetime | None = None
    api_key: str | None = None


class AuditEvent(Resource):
    """Who did what: the operation, what it was about, and the status it was answered with."""

    id: str
    key_id: str | None
    operation: str
    resource: str | None
    status: int
    request_id: str | None = None
    address: str | None = None
    created_at: datetime | None = None


class RoleStored(Resource):
    """The files of one role."""

    role: str
    files: int
    bytes: int


class Stored(Resource):
    """Files in the store."""

    bytes: int
    files: int
    by_role: list[RoleStored]


class Counts(Resource):
    """How many there are; jobs by state."""

    models: int
    modules: int
    compositions: int
    datasets: int
    jobs: dict[str, int]


class KindComputed(Resource):
    """The attempts at one kind of job."""

    kind: str
    attempts: int
    seconds: float


class Compute(Resource):
    """Running time of attempts within a period."""

    model_config = ConfigDict(serialize_by_alias=True)

    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    seconds: float
    by_kind: list[KindComputed]


class Quota(Resource):
    """One limit; None: there is none."""

    used: int
    limit: int | None = None
    left: int | None = None


class Usage(Resource):
    """What your tenant has and has used. `quotas`: by what they limit."""

    stored: Stored
    counts: Counts
    compute: Compute
    quotas: dict[str, Quota]
