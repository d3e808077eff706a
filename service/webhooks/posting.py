"""One POST to an address that was checked.

The name is resolved once, and the connection goes to what it gave: a second answer could be another address.
"""

import asyncio
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx

from service.platform.settings import Settings
from service.platform.version import service_version
from service.webhooks.outcomes import Attempt, Message
from service.webhooks.targets import Address, WebhookUrlError, resolve

Lookup = asyncio.Task[list[Address]]
# Of an answer's body; more is not read.
_READ_BYTES = 1024


class Poster:
    """Posts messages: no redirects, no proxy of the environment, no cookie, a bounded answer."""

    def __init__(self, settings: Settings) -> None:
        self._networks = settings.allowed_networks
        self._timeout_s = settings.webhook_timeout_s
        # No connection is kept: it would outlive the check of its address.
        self._http = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=self._timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),
            # httpx keeps cookies by address, and receivers of several tenants may share one.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def look_up(self, message: Message) -> Lookup:
        """Ask for the addresses. The thread that does so cannot be stopped, and may outlast the post."""
        return asyncio.create_task(resolve(message.url, self._networks))

    async def post(self, message: Message, lookup: Lookup) -> Attempt:
        """Send once; whatever goes wrong is told in the attempt. What follows the status is no matter."""
        begun = time.monotonic()
        response, error = None, message.refusal
        if error is None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    response = await self._send(message, await asyncio.shield(lookup))
                    await _read_some(response)
            except TimeoutError:
                error = f"no complete answer within {self._timeout_s:g} s"
            except WebhookUrlError as refused:
                error = refused.detail
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failed:
                error = (str(failed) or type(failed).__name__)[:500]
        milliseconds = round(1000 * (time.monotonic() - begun))
        if response is None:
            return Attempt(None, error, milliseconds)
        return Attempt(response.status_code, None, milliseconds, response.headers.get("Retry-After"))

    async def _send(self, message: Message, addresses: list[Address]) -> httpx.Response:
        """The answer, not yet read, of the first address that answers. Raises httpx.HTTPError, OSError."""
        for address in addresses[:-1]:
            try:
                return await self._send_to(address, message)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send_to(addresses[-1], message)

    async def _send_to(self, address: Address, message: Message) -> httpx.Response:
        url = httpx.URL(message.url)
        headers = {
            **message.headers,
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "User-Agent": f"cleave/{service_version()}",
        }
        request = self._http.build_request(
            "POST",
            url.copy_with(host=str(address)),
            headers=headers,
            content=message.body,
            extensions={"sni_hostname": url.host},
        )
        return await self._http.send(request, stream=True)


async def _read_some(response: httpx.Response) -> None:
    """The beginning of the body: some receivers take it amiss when nobody reads their answer."""
    read = 0
    try:
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read >= _READ_BYTES:
                break
    finally:
        await response.aclose()
