"""Calls in threads, shared by who asks before they begin."""

import asyncio
import threading

import pytest

from service.platform.shared import Shared


def test_one_that_has_begun_is_not_joined_and_one_that_waits_is() -> None:
    calls: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def count() -> int:
        calls.append(len(calls))
        begun.set()
        assert go_on.wait(10)
        return calls[-1]

    async def ask() -> list[int]:
        shared = Shared()
        first = [asyncio.create_task(shared.call("key", count)) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 10)
        later = [asyncio.create_task(shared.call("key", count)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert calls == [0]
        go_on.set()
        return await asyncio.gather(*first, *later)

    assert asyncio.run(ask()) == [0, 0, 0, 1, 1, 1]


def test_other_keys_do_not_wait_and_an_error_is_for_everybody() -> None:
    go_on = threading.Event()

    def fail() -> None:
        raise LookupError

    async def ask() -> None:
        shared = Shared()
        held = asyncio.create_task(shared.call("slow", lambda: go_on.wait(10)))
        answers = await asyncio.gather(*(shared.call("bad", fail) for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [LookupError, LookupError]
        with pytest.raises(LookupError):
            await shared.call("bad", fail)
        go_on.set()
        assert await held

    asyncio.run(ask())


def test_who_leaves_takes_nothing_from_the_others() -> None:
    go_on = threading.Event()

    async def ask() -> bool:
        shared = Shared()
        leaving, staying = (asyncio.create_task(shared.call("key", lambda: go_on.wait(10))) for _ in range(2))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.sleep(0.01)
        go_on.set()
        return await staying

    assert asyncio.run(ask())
