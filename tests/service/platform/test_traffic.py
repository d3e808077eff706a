"""What is counted of requests that end unusually."""

import asyncio
from types import SimpleNamespace

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.platform.traffic import Traffic, TrafficCounter


async def crash(_: Scope, __: Receive, ___: Send) -> None:
    raise LookupError


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _nowhere(_: Message) -> None:
    return


def test_a_crash_counts_as_500_and_goes_on_to_who_answers_it() -> None:
    traffic = Traffic()
    scope = {"type": "http", "method": "GET", "app": SimpleNamespace(state=SimpleNamespace(traffic=traffic))}
    with pytest.raises(LookupError):
        asyncio.run(TrafficCounter(crash)(scope, _nothing, _nowhere))
    line = 'cleave_http_requests_total{method="GET",route="unmatched",status="500"} 1.0'
    assert line in traffic.text()
