"""What the service refuses, as named facts; their HTTP form (RFC 9457) is in `service.platform.problems`."""

from typing import Any


class ServiceError(Exception):
    """A refusal with an HTTP status and a stable code. The message tells the caller what to do."""

    status = 500
    code = "internal_error"
    title = "Internal error"
    retryable = False

    def __init__(self, detail: str, *, errors: list[dict[str, Any]] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.extra = extra
        self.headers: dict[str, str] = {}


class NotFoundError(ServiceError):
    status, code, title = 404, "not_found", "Not found"

    @classmethod
    def of(cls, kind: str, row_id: str) -> "NotFoundError":
        """There is no such thing with this id, of which no more is repeated than an id can have."""
        return cls(f"There is no {kind} {row_id if len(row_id) <= 64 else row_id[:64] + '...'}.")


class UnauthorizedError(ServiceError):
    status, code, title = 401, "unauthorized", "Missing or unknown API key"


class SignatureInvalidError(ServiceError):
    status, code, title = 403, "signature_invalid", "The link's signature does not fit"


class ForbiddenScopeError(ServiceError):
    status, code, title = 403, "forbidden_scope", "The API key's scope does not allow this"


class KeyEndedError(ServiceError):
    status, code, title = 409, "key_ended", "The API key is revoked or expired"


class LinkExpiredError(ServiceError):
    status, code, title = 410, "link_expired", "The link has expired"


class ConflictError(ServiceError):
    status, code, title = 409, "conflict", "Conflict"


class InUseError(ConflictError):
    code, title = "in_use", "Something else is made of it"


class AlreadyTerminalError(ConflictError):
    code, title = "already_terminal", "The job has already ended"


class DatasetNotReadyError(ConflictError):
    code, title = "dataset_not_ready", "The dataset has no images yet"


class DatasetFilledError(ConflictError):
    code, title = "dataset_filled", "The dataset has its images already"


class DatasetImportingError(ConflictError):
    code, title = "dataset_importing", "The dataset is being imported"


class UploadIncompleteError(ConflictError):
    code, title = "upload_incomplete", "Parts of the upload are missing"


class UploadCompletedError(ConflictError):
    code, title = "upload_completed", "The upload is complete"


class UploadInUseError(ConflictError):
    code, title = "upload_in_use", "A job is reading the upload"


class ModelUnnamedError(ConflictError):
    code, title = "model_unnamed", "The model has no name"


class CompositionNotReadyError(ConflictError):
    code, title = "composition_not_ready", "The composition is not built yet"


class BundleTooLargeError(ConflictError):
    code, title = "bundle_too_large", "The files are too large for one archive"


class IdempotencyKeyReusedError(ServiceError):
    status, code, title = 422, "idempotency_key_reused", "Idempotency-Key was used with another body"


class InvalidRequestError(ServiceError):
    status, code, title = 422, "invalid_request", "The request is not valid"


class ClassUnknownError(InvalidRequestError):
    code, title = "class_not_in_model", "The model does not know this class"


class NoModuleForClassError(InvalidRequestError):
    code, title = "no_module_for_class", "No module knows this class"


class MalformedRequestError(ServiceError):
    status, code, title = 400, "malformed_request", "The request could not be read"


class BodyTooLargeError(ServiceError):
    status, code, title = 413, "body_too_large", "The request body is too large"


class UploadTooLargeError(ServiceError):
    status, code, title = 413, "upload_too_large", "The upload is too large"


class UnsupportedMediaTypeError(ServiceError):
    status, code, title = 415, "unsupported_media_type", "The request body is not JSON"


class UnknownParameterError(InvalidRequestError):
    code, title = "unknown_parameter", "The query has a parameter that is not known here"


class InvalidCursorError(ServiceError):
    status, code, title = 400, "invalid_cursor", "The cursor is not valid"


class CursorMismatchError(InvalidCursorError):
    code, title = "cursor_mismatch", "The cursor belongs to another list"


class ModulesOfDifferentModelsError(InvalidRequestError):
    code, title = "modules_of_different_models", "The modules are not of one model"


class FormUnsupportedError(InvalidRequestError):
    code, title = "form_unsupported", "The model has no modules of this form"


class TeacherMismatchError(InvalidRequestError):
    code, title = "teacher_mismatch", "The teacher does not fit the training"


class DatasetMismatchError(InvalidRequestError):
    code, title = "dataset_mismatch", "The dataset does not fit the network"


class ClassNotInDatasetError(InvalidRequestError):
    code, title = "class_not_in_dataset", "The dataset has no such class"


class InitialModelMismatchError(InvalidRequestError):
    code, title = "initial_model_mismatch", "The initial model does not fit the training"


class DataRootMissingError(InvalidRequestError):
    code, title = "data_root_missing", "The dataset's files are not available"


class DatasetNeededError(InvalidRequestError):
    code, title = "dataset_needed", "The model is of no dataset"


class PartSizeError(InvalidRequestError):
    code, title = "part_size_wrong", "The part has another size than announced"


class ContentDigestError(InvalidRequestError):
    code, title = "content_digest_mismatch", "The content is not the one named by Content-Digest"


class QueueFullError(ServiceError):
    status, code, title, retryable = 429, "queue_full", "Too many jobs are waiting", True


class RateLimitedError(ServiceError):
    status, code, title, retryable = 429, "rate_limited", "Too many requests", True


class TooManyStreamsError(ServiceError):
    status, code, title, retryable = 429, "too_many_streams", "Too many streams and waits are open", True


class HeadersTooLargeError(ServiceError):
    status, code, title = 431, "headers_too_large", "The request's headers are too large"


class PreconditionFailedError(ServiceError):
    status, code, title = 412, "precondition_failed", "It is not the one named by If-Match"


class ArtifactMissingError(ServiceError):
    code, title = "artifact_missing", "The stored content is missing"


class ArtifactDamagedError(ArtifactMissingError):
    code, title = "artifact_damaged", "The stored content is damaged"


class RangeNotSatisfiableError(ServiceError):
    status, code, title = 416, "range_not_satisfiable", "The requested range is outside the content"


class UnavailableError(ServiceError):
    status, code, title, retryable = 503, "unavailable", "A component is not available", True


class StorageFullError(ServiceError):
    status, code, title, retryable = 507, "storage_full", "The service has no room", True


class StorageQuotaError(ServiceError):
    status, code, title = 507, "storage_quota_exceeded", "Your share of the store is used up"


class StartupError(Exception):
    """A reason not to start, with a stable code and a message that says what to change."""

    code = "startup_failed"


class AuthRequiredError(StartupError):
    """API keys were turned off on a host that others can reach."""

    code = "auth_required"


class StoreUnsupportedError(StartupError):
    """The artifact store that the settings name needs a package that is not installed."""

    code = "store_unsupported"


class TracingUnsupportedError(StartupError):
    """Traces were turned on without the packages that send them."""

    code = "tracing_unsupported"


class FolderNotWritableError(StartupError):
    """A worker cannot write where attempts keep their files: every job it took would fail."""

    code = "folder_not_writable"


class NotEmptyError(StartupError):
    """A backup or a restoration goes only where nothing is yet."""

    code = "not_empty"


class BackupInvalidError(StartupError):
    """A folder that cannot be restored from: unfinished, damaged, or of another version."""

    code = "backup_invalid"


class NoInstallationError(StartupError):
    """The data folder holds no database: another folder is meant, or nothing was ever started there."""

    code = "no_installation"


class DatabaseBehindError(StartupError):
    """The database has no tables, or those of an older version."""

    code = "database_not_migrated"


class DatabaseForeignError(StartupError):
    """The database is at a revision that this version does not know."""

    code = "database_newer"
