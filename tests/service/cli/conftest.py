from tests.service.client.conftest import client, live

__all__ = ["client", "live"]
