"""The two clients are one: what has no `await` is written from what has."""

from service.sync_client import written


def test_the_client_without_asyncio_is_current() -> None:
    stale = [path.name for path, text in written().items() if path.read_text() != text]
    assert stale == [], "change service/client/aio/ and run: python -m service.sync_client"
