"""Where a message may go: the public internet by https, and the networks that the settings allow besides.

A caller chooses the address, so this is what keeps him from reaching our own network through us.
"""

import asyncio
import ipaddress
import socket
from functools import partial
from urllib.parse import SplitResult, urlsplit

from service.platform import daemons
from service.platform.errors import InvalidRequestError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"https": 443, "http": 80}
_PUBLIC_PORTS = frozenset(_PORTS.values())
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")
# They carry an IPv4 address, so they lead wherever it does (6to4; Teredo and other protocol assignments).
_TUNNELS_6 = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/23"))


class WebhookUrlError(InvalidRequestError):
    code, title = "webhook_url_refused", "No message may be sent to this URL"


def check_url(url: str, allowed: tuple[Network, ...]) -> None:
    """Refuse what can be refused without asking a name server. Raises WebhookUrlError."""
    parts = _split(url)
    host = parts.hostname or ""
    try:
        literal: Address | None = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    if literal is not None:
        _check(parts, literal, allowed)
    elif not allowed:
        _check_public(parts)


async def resolve(url: str, allowed: tuple[Network, ...]) -> list[Address]:
    """The addresses of the URL's host, each of them fit to be sent to. Raises WebhookUrlError, OSError."""
    parts = _split(url)
    ask = partial(socket.getaddrinfo, parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    found = await asyncio.wrap_future(daemons.start(ask, "webhooks-names"))
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        _check(parts, address, allowed)
    return list(dict.fromkeys(addresses))


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet's, and leads nowhere else."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _UNICAST_6 or any(address in tunnel for tunnel in _TUNNELS_6):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _check(parts: SplitResult, address: Address, allowed: tuple[Network, ...]) -> None:
    plain = getattr(address, "ipv4_mapped", None) or address
    if any(plain in network for network in allowed):
        return
    _check_public(parts)
    if not is_public(address):
        raise WebhookUrlError(
            "The host is not on the public internet; CLEAVE_WEBHOOK_NETWORKS allows others."
        )


def _check_public(parts: SplitResult) -> None:
    if parts.scheme != "https" or _port(parts) not in _PUBLIC_PORTS:
        raise WebhookUrlError(
            "The URL must be https on port 443 or 80, but within the networks of CLEAVE_WEBHOOK_NETWORKS."
        )


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = (
            parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0 and "%" not in parts.netloc
        )
    except ValueError:  # a port that is no number, a bracket that closes nothing
        known = False
    if not known or not url.isascii() or not url.isprintable() or set(url) & set(" \\#"):
        raise WebhookUrlError("Not the URL of a web server: https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise WebhookUrlError("The URL must not have a user name or password; the signature tells who sends.")
    return parts
