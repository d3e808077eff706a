"""The API process."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service.api import TAGS, include_routers
from service.audit.trail import AuditTrail
from service.platform import openapi, problems, tracing
from service.platform.auth import load_pepper
from service.platform.bodies import BodyGuard
from service.platform.database import Database
from service.platform.errors import AuthRequiredError
from service.platform.rate_limits import open_limiter
from service.platform.recent import Recent
from service.platform.repeats import Repeats
from service.platform.requests import RequestFrame
from service.platform.settings import Settings
from service.platform.shared import Shared
from service.platform.storage import open_store
from service.platform.store_check import StoreCheck
from service.platform.streams import Streams
from service.platform.traffic import Traffic, TrafficCounter
from service.platform.version import service_version
from service.tenants.service import Caller

# How long a caller is known without asking the database again, and how many are.
_CALLER_KNOWN_S = 1.0
_CALLERS_KNOWN = 1000


def create_app(settings: Settings) -> FastAPI:
    """The API over these settings. Needs no broker; the database need not answer yet.

    Raises:
        AuthRequiredError: API keys are off on a host that others can reach.
    """
    require_auth_or_loopback(settings)
    app = FastAPI(
        title="Cleave",
        version=service_version(),
        summary="Train neural networks that come apart by class, and compose their modules on request.",
        description=openapi.DESCRIPTION,
        openapi_tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        # The framework's pages load their scripts from another host; ours is whole by itself.
        docs_url=None,
        redoc_url=None,
        # Behind a proxy that ends TLS the framework would send callers on to http, with their keys.
        redirect_slashes=False,
        lifespan=_lifespan,
        # Its spans and logs hold queries and messages, and so signatures and passwords; ours do not.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.settings = settings
    app.state.database = Database(settings)
    app.state.traffic = Traffic()
    app.state.store = open_store(settings)
    app.state.store_check = StoreCheck(app.state.store, settings)
    app.state.pepper = load_pepper(settings)
    app.state.callers = Recent[str, Caller](_CALLER_KNOWN_S, _CALLERS_KNOWN)
    app.state.shared = Shared()
    app.state.limiter = open_limiter(settings)
    app.state.streams = Streams(settings.max_streams_per_key)
    app.state.repeats = Repeats()
    app.router.routes.append(app.state.repeats)
    include_routers(app)
    problems.install(app)
    openapi.install(app)
    # The one added last runs first: the frame gives the guard's refusals their request id.
    app.add_middleware(AuditTrail)
    app.add_middleware(BodyGuard)
    app.add_middleware(RequestFrame)
    app.add_middleware(TrafficCounter)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.shared.close()
    app.state.database.dispose()
    tracing.close()


def require_auth_or_loopback(settings: Settings) -> None:
    """Raises AuthRequiredError."""
    if not settings.auth and not _is_loopback(settings.host):
        raise AuthRequiredError(
            f"API keys are off and the host is {settings.host}, which others can reach. "
            "Turn keys on (CLEAVE_AUTH=true) or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
