"""The API process: `python -m service.server --fd N`, on a socket that its parent listens on."""

import argparse
import socket
from collections.abc import Callable

import uvicorn

from service.app import create_app
from service.platform.logging import configure_logging
from service.platform.settings import Settings
from service.platform.startup import refusing_to_start

_GRACE_S = 3


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
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    _Server(config, on_ready).run(sockets=[listener])


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
