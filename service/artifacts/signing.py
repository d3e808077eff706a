"""Links that open one artifact's content without an API key, until a moment that they name themselves."""

import hashlib
import hmac
import time
from dataclasses import dataclass

from service.artifacts.tables import Artifact
from service.platform.errors import LinkExpiredError, SignatureInvalidError

_PURPOSE = b"cleave: links to artifacts, 1"


@dataclass(frozen=True)
class Signature:
    """What a link carries in its query: `exp` in seconds since 1970, the key's name, the signature."""

    exp: int
    kid: str
    sig: str


class Signer:
    """Signs with a key of its own, derived from the pepper: neither gives the other away."""

    def __init__(self, pepper: bytes) -> None:
        self._key = hmac.new(pepper, _PURPOSE, hashlib.sha256).digest()
        self.kid = hashlib.sha256(self._key).hexdigest()[:8]

    def sign(self, artifact: Artifact, ttl_s: int) -> Signature:
        """A signature that holds for `ttl_s` seconds from now."""
        exp = int(time.time()) + ttl_s
        return Signature(exp, self.kid, self._digest(artifact, exp))

    def check(self, artifact: Artifact | None, given: Signature) -> None:
        """Raises SignatureInvalidError, also where there is no such artifact, and LinkExpiredError."""
        expected = self._digest(artifact, given.exp) if artifact else ""
        if given.kid != self.kid or not hmac.compare_digest(expected.encode(), given.sig.encode()):
            raise SignatureInvalidError("The link was changed, or signed by another installation.")
        if given.exp <= time.time():
            raise LinkExpiredError("The link has expired. Ask for a new one.")

    def _digest(self, artifact: Artifact, exp: int) -> str:
        # Fields of fixed form, none of which can contain the separator; "read" is GET and HEAD.
        content = "\n".join(("read", artifact.tenant_id, artifact.id, artifact.sha256, str(exp)))
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()
