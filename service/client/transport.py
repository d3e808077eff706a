# Written by `python -m service.sync_client` from aio/transport.py, which is the one to change.
"""One HTTP connection pool: retries what is safe to repeat, and turns refusals into named errors."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from service.client.errors import (
    CleaveApiError,
    CleaveConnectionError,
    InvalidApiKeyError,
    InvalidIdError,
    UnexpectedAnswerError,
)
from service.client.pages import Page

AnswerT = TypeVar("AnswerT", bound=BaseModel)
Params = Mapping[str, str | int | float | bool | list[str] | None]

_RETRY_STATUS = frozenset({429, 502, 503, 504})
_SAFE_METHODS = frozenset({"GET", "HEAD", "PUT"})
_ATTEMPTS = 4
_FIRST_DELAY_S = 0.15
_LONGEST_DELAY_S = 10.0


class Transport:
    """Sends requests to one service.

    Args:
        base_url: Where the service listens, e.g. "http://127.0.0.1:8321".
        api_key: Sent as a bearer token; None for a service started with `--no-auth`.
        timeout: Seconds for connecting and for each read.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout: float) -> None:
        headers = {"Authorization": f"Bearer {_checked(api_key)}"} if api_key else {}
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        try:
            self._http = httpx.Client(
                base_url=self.base_url, headers=headers, timeout=timeout, follow_redirects=True
            )
        except httpx.InvalidURL as error:
            raise CleaveConnectionError(base_url, f"not a valid URL: {error}") from error

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, answer: type[AnswerT], params: Params | None = None) -> AnswerT:
        """What a GET answers; a `Page` of it can ask for the next."""
        found = _parse(self.send("GET", path, params=params), answer)
        if isinstance(found, Page):
            found._ask = lambda cursor: self.get(path, answer, {**(params or {}), "after": cursor})
        return found

    def post(
        self,
        path: str,
        answer: type[AnswerT],
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> AnswerT:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return _parse(self.send("POST", path, json=body, headers=headers), answer)

    def put(self, path: str, answer: type[AnswerT]) -> AnswerT:
        return _parse(self.send("PUT", path), answer)

    def patch(
        self, path: str, answer: type[AnswerT], body: Mapping[str, Any], if_match: str | None = None
    ) -> AnswerT:
        headers = {"If-Match": if_match} if if_match else {}
        return _parse(self.send("PATCH", path, json=body, headers=headers), answer)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request, repeated only where a repeat cannot do the work twice. Raises CleaveError."""
        repeatable = method in _SAFE_METHODS or "Idempotency-Key" in (headers or {})
        given = {k: v for k, v in (params or {}).items() if v is not None}
        request = self._http.build_request(
            method, path, params=given, json=json, content=content, headers=headers
        )
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                # Nothing was sent on a connection that never opened, so even a plain POST may be tried again.
                if last or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise CleaveConnectionError(self.base_url, describe(error)) from error
                time.sleep(backoff(attempt))
                continue
            if response.is_success or response.status_code == 304:
                return response
            if last or not repeatable or response.status_code not in _RETRY_STATUS:
                raise api_error(response)
            time.sleep(backoff(attempt, response.headers.get("Retry-After")))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        read_timeout: float | None = None,
    ) -> Iterator[httpx.Response]:
        """One GET's open response, without retries: the caller can resume. Raises httpx.TransportError."""
        timeout = httpx.Timeout(self.timeout, read=read_timeout or self.timeout)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise api_error(response)
            yield response


def segment(name: str) -> str:
    """An id as one part of a path, whatever is in it. Raises InvalidIdError."""
    # Dots cannot be quoted: every URL library takes these two as steps to another path.
    if name in {"", ".", ".."}:
        raise InvalidIdError(f"{name!r} is not an id")
    return quote(name, safe="")


def _checked(api_key: str) -> str:
    if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise InvalidApiKeyError(
            "the API key has characters that no key has; give it as `cleave keys create` showed it"
        )
    return api_key


def _parse(response: httpx.Response, answer: type[AnswerT]) -> AnswerT:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        message = (
            f"{response.request.method} {response.request.url.path} did not answer a {answer.__name__}: "
            f"{error.errors()[0]['msg']} at {'/'.join(map(str, error.errors()[0]['loc']))}"
        )
        raise UnexpectedAnswerError(message) from error


def backoff(attempt: int, retry_after: str | None = None) -> float:
    """Seconds to wait before the next try: what the service asked for, else doubling, with jitter."""
    if retry_after is not None and retry_after.isdigit():
        return min(float(retry_after), _LONGEST_DELAY_S)
    return min(_FIRST_DELAY_S * float(2**attempt), _LONGEST_DELAY_S) * random.uniform(0.8, 1.2)


def describe(error: httpx.TransportError) -> str:
    """A transport error in a few words; some of httpx's have an empty message."""
    return str(error) or type(error).__name__


def api_error(response: httpx.Response) -> CleaveApiError:
    """The refusal in `response`; also of a proxy in between that does not speak problem+json."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    problem.setdefault("request_id", response.headers.get("X-Request-ID"))
    return CleaveApiError(
        response.status_code,
        str(problem.get("code") or f"http_{response.status_code}"),
        str(problem.get("detail") or problem.get("title") or response.reason_phrase),
        errors=list(problem.get("errors") or []),
        problem=problem,
    )
