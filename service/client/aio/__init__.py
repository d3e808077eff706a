"""The client for asyncio. `python -m service.sync_client` writes the other one from it."""

from service.client.aio.client import AsyncCleaveClient

__all__ = ["AsyncCleaveClient"]
