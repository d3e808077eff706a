"""The API process: `python -m service.server --fd N`, on a socket that its parent listens on."""

import argparse
import gc
import logging
import socket
import threading
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.platform import health, tracing
from service.platform.bounded_headers import BoundedHeaders
from service.platform.logging import configure_logging
from service.platform.settings import Settings
from service.platform.startup import refusing_to_start, tell_doubtful

_LOG = logging.getLogger(__name__)
_GRACE_S = 3
# Objects made until the collector looks at the newest, and how often it goes on to the older ones.
_COLLECT_AFTER = (10_000, 20, 100)


class _Server(uvicorn.Server):
    """Tells when requests are answered."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def serve(settings: Settings, listener: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; open streams are cut after a short grace (their clients resume)."""
    tracing.start(settings, "api")
    tell_doubtful(settings, needs_secret=True)
    app = create_app(settings)

    def tell() -> None:
        host, port = listener.getsockname()[:2]
        _LOG.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        # Beside: a database that says nothing must not hold up what needs none.
        threading.Thread(target=_tell_what_is_missing, args=(app,), daemon=True).start()
        # What is loaded by now stays: looking through it takes the collector 200 ms, of some request.
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        on_ready()

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
        http=BoundedHeaders,
    )
    _Server(config, tell).run(sockets=[listener])


def _tell_what_is_missing(app: FastAPI) -> None:
    """Once, at the start: a wrong setting shows in the log before the first request."""
    state = app.state
    checks = health.check_parts(state.database, state.store_check)
    if all(found == "ok" for found in checks.values()):
        _LOG.info("ready")


def main() -> None:
    """Entry point of the module."""
    parser = argparse.ArgumentParser(prog="python -m service.server")
    parser.add_argument("--fd", type=int, required=True, help="Descriptor of a listening socket.")
    arguments = parser.parse_args()
    with refusing_to_start():
        settings = Settings()
        configure_logging(settings)
        serve(settings, socket.socket(fileno=arguments.fd))


if __name__ == "__main__":
    main()
