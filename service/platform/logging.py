"""One log format for our lines and the libraries': console or JSON, no secrets, on standard error."""

import logging
import logging.config
import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import structlog

from core.texts import shown
from service.platform import tracing
from service.platform.settings import Diagnostics

_SECRET_NAMES = re.compile(r"authorization|api_?key|secret|token|password|pepper", re.IGNORECASE)
_SECRET_VALUES = (
    (re.compile(r"cleave_[0-9a-z]+_[0-9A-Za-z]+"), "cleave_[redacted]"),
    (re.compile(r"(?i)(bearer\s+)\S+"), r"\1[redacted]"),
    (re.compile(r"(://[^:/@\s]*):[^@/\s]+@"), r"\1:[redacted]@"),
    (re.compile(r"(?i)\b(password=)[^\s&'\"]+"), r"\1[redacted]"),
    (re.compile(r"whsec_[0-9A-Za-z+/=_-]+"), "whsec_[redacted]"),
    # Signed links and tickets of streams open what they name to whoever has them.
    (
        re.compile(r"(?i)([?&](?:sig|ticket|x-amz-signature|x-amz-security-token)=)[^&\s'\"]+"),
        r"\1[redacted]",
    ),
)
# What every one of them begins with, so that most texts are looked at once.
_SUSPECT = re.compile(
    r"cleave_|bearer\s|://|password=|whsec_|[?&](?:sig|ticket|x-amz-[a-z-]+)=", re.IGNORECASE
)
# Numbers under such a name are not secrets: a lease token is a counter.
_PLAIN = (int, float, bool, type(None))


def configure_logging(settings: Diagnostics) -> None:
    """Set up structlog and the standard library's logging for this process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        *([tracing.add_ids] if settings.otel else []),
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.config.dictConfig(_standard_config(settings, shared))
    logging.captureWarnings(capture=True)


def _standard_config(settings: Diagnostics, shared: list[structlog.typing.Processor]) -> dict[str, Any]:
    final: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if settings.log_format == "json":
        final += [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]
    else:
        final += [structlog.processors.format_exc_info, redact, printable]
        final += [structlog.dev.ConsoleRenderer(colors=False)]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": final,
    }
    handler = {"class": "logging.StreamHandler", "formatter": "structured", "stream": "ext://sys.stderr"}
    # The request line of `service.platform.requests` replaces uvicorn's, which has paths and no request id.
    quiet = {"handlers": [], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": handler},
        "root": {"handlers": ["stderr"], "level": settings.log_level.upper()},
        "loggers": {
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.error": {"handlers": [], "propagate": True},
            "uvicorn.access": quiet,
            "alembic": {"level": "WARNING"},
            # What they write below is no use to us and opens doors: botocore each signature it makes, httpx
            # the URLs of receivers, which often have their secret in the path.
            **{name: {"level": "WARNING"} for name in ("botocore", "httpx", "httpcore")},
        },
    }


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: no key, password or bearer token leaves through a log."""
    return {key: _clean(key, value) for key, value in event.items()}


def printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: no text looks like a line of its own, or is obeyed by a terminal."""
    return {
        key: shown(value).replace("\n", "\n    ") if isinstance(value, str) else value
        for key, value in event.items()
    }


def _clean(name: str, value: Any) -> Any:
    if _names_secret(name) and not isinstance(value, _PLAIN):
        return "[redacted]"
    if isinstance(value, dict):
        return {key: _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean("", item) for item in value]
    if isinstance(value, str) and _SUSPECT.search(value):
        for pattern, replacement in _SECRET_VALUES:
            value = pattern.sub(replacement, value)
    return value


@lru_cache(1000)
def _names_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None
