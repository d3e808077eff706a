"""Where messages may go."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from service.platform.settings import Settings
from service.webhooks.posting import Poster
from service.webhooks.targets import WebhookUrlError, check_url, is_public, resolve

NETWORKS = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1/128"))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "::127.0.0.1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "64:ff9b::808:808",
        "2002:7f00:1::", "2001:0:7f00:1::", "2002:808:808::",
    ],
)  # fmt: skip
def test_not_the_public_internet(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_the_public_internet(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook?a=b", "https://example.com:443/", "https://example.com:80/", "https://8.8.8.8/",
        "https://[2606:4700::1111]/", "http://10.1.2.3:9000/", "http://[::1]:9000/", "https://[::ffff:10.1.0.1]/",
        "http://inside:9000/",  # a name: its addresses are checked when it is sent to
    ],
)  # fmt: skip
def test_accepted(url: str) -> None:
    check_url(url, NETWORKS)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///path",
        "https://me:secret@example.com/", "https://me@example.com/", "https://example.com:99999/",
        "https://example.com:0/", "https://[::1/", "https://exa mple.com/", "https://example.com/\r\nHost: x",
        "https://127.0.0.1\\@example.com/", "https://bücher.example/", "https://example.com/#part",
        "https://127.0.0.1/", "https://[::1%25lo]/", "https://10.2.0.1/", "https://[::ffff:10.2.0.1]/",
        "https://169.254.169.254/latest/meta-data", "https://[64:ff9b::a9fe:a9fe]/", "http://8.8.8.8/",
        "https://8.8.8.8:22/",
    ],
)  # fmt: skip
def test_refused(url: str) -> None:
    with pytest.raises(WebhookUrlError):
        check_url(url, NETWORKS)


@pytest.mark.parametrize("url", ["http://example.com/", "https://example.com:8443/"])
def test_names_need_https_and_its_port_where_no_network_is_allowed(url: str) -> None:
    with pytest.raises(WebhookUrlError, match="https"):
        check_url(url, ())


# What the C library reads as 127.0.0.1, though it does not look like an address.
@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
def test_other_spellings_of_loopback_are_refused_when_resolved(host: str) -> None:
    with pytest.raises(WebhookUrlError):
        asyncio.run(resolve(f"https://{host}/", ()))


def test_one_bad_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(WebhookUrlError):
        asyncio.run(resolve("https://example.com/", ()))


def test_proxies_of_the_environment_are_not_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def mounts() -> Any:
        async with Poster(settings) as poster:
            return poster._http._mounts

    assert asyncio.run(mounts()) == {}
