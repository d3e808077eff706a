"""`python -m service.openapi` prints the OpenAPI document; docs/openapi.json is its committed copy."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from service.app import create_app
from service.platform.settings import Settings


def document() -> dict[str, Any]:
    """The API's document, independent of where it runs."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder), database_url=None, auth=True))
        try:
            return app.openapi()
        finally:
            app.state.database.dispose()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2, sort_keys=True) + "\n")
