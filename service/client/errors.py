"""What can go wrong between this client and the service."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.client.schemas import Job


class CleaveError(Exception):
    """Base of every error this package raises. `code` is stable; the message says what to do."""

    code = "client_error"


class CleaveConnectionError(CleaveError):
    """No answer from the service."""

    code = "connection_failed"

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(f"no answer from {base_url} ({reason}). Is it running? Start it with `cleave up`.")
        self.base_url = base_url


class CleaveApiError(CleaveError):
    """The service refused. Mirrors its problem document (RFC 9457); `problem` is the whole of it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: list[dict[str, Any]] | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = (problem or {}) | {"status": status, "code": code, "detail": detail}
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.request_id: str | None = self.problem.get("request_id")


class InvalidApiKeyError(CleaveError):
    """The API key cannot be one; nothing was sent."""

    code = "invalid_api_key"


class InvalidIdError(CleaveError):
    """An id that no thing can have; nothing was sent."""

    code = "invalid_id"


class UnexpectedAnswerError(CleaveError):
    """The answer is not what this version of the client understands."""

    code = "unexpected_answer"


class DigestMismatchError(CleaveError):
    """Downloaded bytes are not the artifact that was asked for; nothing was kept."""

    code = "digest_mismatch"


class NoSuchFileError(CleaveError):
    """The model, module or composition has no file in this role."""

    code = "no_such_role"


class DownloadInterruptedError(CleaveError):
    """The connection kept breaking; what arrived is kept, and the next call continues from there."""

    code = "download_interrupted"


class JobFailedError(CleaveError):
    """A job that was waited for with `check` did not succeed; `job` is what became of it."""

    code = "job_failed"

    def __init__(self, job: "Job") -> None:
        why = f": [{job.error.code}] {job.error.message}" if job.error else ""
        super().__init__(
            f"{job.id} has {job.state}{why}" if job.state == "failed" else f"{job.id} is {job.state}{why}"
        )
        self.job = job


class WaitTimeoutError(CleaveError):
    """The job was still active when the time to wait ran out. The job itself goes on."""

    code = "wait_timeout"
