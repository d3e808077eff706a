"""How many requests a key may send: counted in this process, or in Redis where the broker is Redis."""

import math
import time
from dataclasses import dataclass

import structlog
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.platform.settings import Settings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What is left of a key's limit after one more request."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """Of every answer to a key that has a limit."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class RateLimiter:
    """Counts requests by key in a sliding window. May wait for Redis: not for an event loop."""

    def __init__(self, limit: str, settings: Settings) -> None:
        self._item = parse(limit)
        self._strategy = SlidingWindowCounterRateLimiter(
            MemoryStorage(wrap_exceptions=True)
            if settings.broker_url is None
            else RedisStorage(
                settings.broker_url,
                key_prefix=f"{settings.broker_prefix}limits",
                wrap_exceptions=True,
                socket_timeout=1.0,
                socket_connect_timeout=1.0,
            )
        )

    def hit(self, key: str) -> Verdict | None:
        """Count one request; None when the storage does not answer: then nobody is turned away."""
        try:
            allowed = self._strategy.hit(self._item, key)
            reset_at, remaining = self._strategy.get_window_stats(self._item, key)
        except StorageError as error:
            _log.warning("rate_limits_unavailable", reason=type(error.storage_error).__name__)
            return None
        seconds = max(1, math.ceil(reset_at - time.time()))
        return Verdict(allowed, self._item.amount, max(0, remaining), seconds)


def open_limiter(settings: Settings) -> RateLimiter | None:
    """None where there is no limit."""
    return RateLimiter(settings.rate_limit, settings) if settings.rate_limit else None
