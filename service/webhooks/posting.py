"""One POST to an address that was checked.

The name is resolved once, and the connection goes to what it gave: a second answer could be another address.
"""

import asyncio
import time
from types import TracebackType
from typing import Self

import httpx

from service.platform.settings import Settings
from service.platform.version import service_version
from service.webhooks.outcomes import Attempt, Message
from service.webhooks.targets import Address, WebhookUrlError, resolve

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
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, message: Message) -> Attempt:
        """Send once; whatever goes wrong is told in the attempt."""
        begun = time.monotonic()
        status, error = None, message.refusal
        if error is None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    status = await self._send(message)
            except TimeoutError:
                error = f"no complete answer within {self._timeout_s:g} s"
            except WebhookUrlError as refused:
                error = refused.detail
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failed:
                error = (str(failed) or type(failed).__name__)[:500]
        return Attempt(status, error, round(1000 * (time.monotonic() - begun)))

    async def _send(self, message: Message) -> int:
        """The status of the first address that answers. Raises httpx.HTTPError, OSError, WebhookUrlError."""
        addresses = await resolve(message.url, self._networks)
        for address in addresses[:-1]:
            try:
                return await self._send_to(address, message)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send_to(addresses[-1], message)

    async def _send_to(self, address: Address, message: Message) -> int:
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
        response = await self._http.send(request, stream=True)
        try:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read >= _READ_BYTES:
                    break
        finally:
            await response.aclose()
        return response.status_code
