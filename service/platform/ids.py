"""Identifiers: a type prefix and a time-ordered UUID, e.g. `job_0193...`."""

from typing import Literal

import uuid_utils

Prefix = Literal[
    "ten", "key", "job", "ds", "upl", "mdl", "mod", "cmp", "art", "req", "wrk", "whk", "dlv", "aud"
]


def new_id(prefix: Prefix) -> str:
    """A fresh identifier; ids of one prefix sort by creation time."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"
