"""API keys: their text form and their keyed hash."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.platform.settings import Settings

KEY_BYTES = 32
_SCHEME = "cleave"
_UNKNOWN_DIGEST = "0" * 64


@dataclass(frozen=True)
class ParsedKey:
    """An API key as presented: `cleave_<key id without its prefix>_<secret>`."""

    key_id: str
    secret: str


def new_secret() -> str:
    """256 random bits as hexadecimal digits."""
    return secrets.token_hex(KEY_BYTES)


def format_key(key_id: str, secret: str) -> str:
    """The text shown once to its owner."""
    return f"{_SCHEME}_{key_id.removeprefix('key_')}_{secret}"


def parse_key(text: str) -> ParsedKey | None:
    """The two parts of a presented key, or None when it does not have the form of one."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != _SCHEME or not parts[1].isalnum() or not text.isascii():
        return None
    return ParsedKey(key_id=f"key_{parts[1]}", secret=parts[2])


def digest_secret(pepper: bytes, secret: str) -> str:
    """HMAC-SHA256 of the secret: a copy of the database alone gives no key away."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


def secret_matches(pepper: bytes, secret: str, stored: str | None) -> bool:
    """Compare in constant time; an unknown key costs the same as a wrong one."""
    equal = hmac.compare_digest(digest_secret(pepper, secret), stored or _UNKNOWN_DIGEST)
    return equal and stored is not None


def load_pepper(settings: Settings) -> bytes:
    """The pepper from the settings, or from `secret.key` in the data folder, made at first use (0600)."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.home / "secret.key"
    if not path.exists():
        _create_private(path, secrets.token_hex(KEY_BYTES))
    return path.read_bytes().strip()


def _create_private(path: Path, text: str) -> None:
    """Write and link, so that of two processes that start at once both read the same complete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
