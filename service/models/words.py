"""What can be a name of models and what an alias."""

from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, Field

LATEST = "latest"
_REST = "[A-Za-z0-9._-]{0,63}"


def _not_latest(alias: str) -> str:
    if alias == LATEST:
        raise ValueError("means the newest version already")
    return alias


ModelName = Annotated[
    str, Field(pattern=f"^[A-Za-z0-9]{_REST}$", description="Versions are counted within a name.")
]
# Begins with a letter, so that no alias can be taken for a version.
Alias = Annotated[str, Path(pattern=f"^[A-Za-z]{_REST}$"), AfterValidator(_not_latest)]
