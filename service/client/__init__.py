"""A typed client for the Cleave API. Imports nothing else of ours, so it can be taken along on its own."""

from service.client.aio import AsyncCleaveClient
from service.client.client import CleaveClient
from service.client.errors import (
    CleaveApiError,
    CleaveConnectionError,
    CleaveError,
    DigestMismatchError,
    DownloadInterruptedError,
    JobFailedError,
    WaitTimeoutError,
)

__all__ = [
    "AsyncCleaveClient", "CleaveApiError", "CleaveClient", "CleaveConnectionError", "CleaveError",
    "DigestMismatchError", "DownloadInterruptedError", "JobFailedError", "WaitTimeoutError",
]  # fmt: skip
