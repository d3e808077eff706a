"""Errors as callers see them: RFC 9457 problem documents with a stable `code`, whoever raised them."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import exc as sql
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from service.platform.database import is_away
from service.platform.errors import InvalidRequestError, ServiceError, UnauthorizedError, UnavailableError
from service.platform.validation import describe_errors, headline_code, summarise

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

# What the framework itself answers; every other code belongs to a ServiceError.
FRAMEWORK_CODES = {
    400: "malformed_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "body_too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}

# PostgreSQL: undefined_table and undefined_column; SQLite has one code for everything.
_UNDEFINED = frozenset({"42P01", "42703"})
_ABSENT = re.compile(r"no such (table|column)|table \w+ has no column")

_log = structlog.get_logger(__name__)


class DatabaseNotMigratedError(UnavailableError):
    code, title = "database_not_migrated", "The database is not at this version"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="JSON pointer into the body, or `/name` of a parameter.")
    code: str
    message: str
    location: str = Field("body", description="body, query, path or header.", serialization_alias="in")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(description="`urn:cleave:problem:<code>`.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; the list is in docs/errors.md.")
    instance: str
    request_id: str
    retryable: bool
    errors: list[FieldProblem] = Field(default_factory=list)


def problem_body(error: ServiceError, scope: Scope) -> dict[str, Any]:
    """The document for an error raised while `scope` was served."""
    return {
        "type": f"urn:cleave:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "instance": scope.get("path", ""),
        "request_id": scope.get("state", {}).get("request_id", ""),
        "retryable": error.retryable,
        "errors": error.errors,
        **error.extra,
    }


def problem_response(
    error: ServiceError, scope: Scope, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The HTTP answer for an error."""
    extra = dict(headers or {})
    # Set here too, because the answer to a crash is sent from outside the request's frame.
    extra["X-Request-ID"] = scope.get("state", {}).get("request_id", "")
    if isinstance(error, UnauthorizedError):
        extra["WWW-Authenticate"] = 'Bearer realm="cleave"'
    if error.retryable:
        extra.setdefault("Retry-After", str(RETRY_AFTER_S))
    return JSONResponse(
        problem_body(error, scope), status_code=error.status, headers=extra, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Answer every error of this application with a problem document."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(sql.DBAPIError, _on_database_error)
    app.add_exception_handler(sql.TimeoutError, _on_database_error)
    app.add_exception_handler(Exception, _on_crash)


def _on_service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101 - registered for this class
    return problem_response(error, request.scope, error.headers)


def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    errors, total = describe_errors(error)
    refusal = InvalidRequestError(summarise(errors, total), errors=errors)
    refusal.code = headline_code(errors) or refusal.code
    return problem_response(refusal, request.scope)


def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    refusal = ServiceError(_explain(error, request))
    refusal.status, refusal.title = error.status_code, HTTPStatus(error.status_code).phrase
    refusal.code = FRAMEWORK_CODES.get(error.status_code, f"http_{error.status_code}")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_here(request))
    return problem_response(refusal, request.scope, headers)


def _methods_here(request: Request) -> list[str]:
    """Every method of this path: the framework names those of the first route that has it."""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)
    ]


def _explain(error: HTTPException, request: Request) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "No such path. The list is at /openapi.json and /docs."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not possible here; see the Allow header."
    return str(error.detail)


def database_refusal(error: Exception) -> UnavailableError | None:
    """What a database error says about the database; None for one that is our own fault."""
    reason = str(getattr(error, "orig", ""))
    if getattr(getattr(error, "orig", None), "sqlstate", None) in _UNDEFINED or _ABSENT.match(reason):
        return DatabaseNotMigratedError("The database lacks tables of this version; run `cleave db upgrade`.")
    # The bare class is what SQLite raises for a file that is no database.
    if is_away(error) or type(error) is sql.DatabaseError:
        return UnavailableError("The database does not answer. Try again in a moment.")
    return None


def _on_database_error(request: Request, error: Exception) -> JSONResponse:
    refusal = database_refusal(error)
    if refusal is None:
        raise error
    _log.error("database_unavailable", error=type(error).__name__, reason=str(error.args[0])[:300])
    return problem_response(refusal, request.scope)


def _on_crash(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_crashed", request_id=request.scope["state"]["request_id"], exc_info=error)
    refusal = ServiceError("The service failed. Report the request id; its log has the cause.")
    return problem_response(refusal, request.scope)
