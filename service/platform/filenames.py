"""File names in HTTP headers."""

import re
from urllib.parse import quote


def content_disposition(filename: str) -> str:
    """An attachment of this name: in plain ASCII for old clients, and exactly (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
