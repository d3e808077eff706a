"""The API process: `python -m service.server`, with `--fd` on a socket that its parent listens on."""

import argparse
import socket

import uvicorn

from service.app import create_app
from service.platform.logging import configure_logging
from service.platform.settings import Settings

_GRACE_S = 3


def serve(settings: Settings, listener: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT; open streams are cut after a short grace (their clients resume)."""
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    uvicorn.Server(config).run(sockets=None if listener is None else [listener])


def main() -> None:
    """Entry point of the module."""
    parser = argparse.ArgumentParser(prog="python -m service.server")
    parser.add_argument("--fd", type=int, help="Descriptor of a listening socket.")
    arguments = parser.parse_args()
    settings = Settings()
    configure_logging(settings)
    serve(settings, None if arguments.fd is None else socket.socket(fileno=arguments.fd))


if __name__ == "__main__":
    main()
