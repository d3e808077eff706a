"""What an API key may do: read, write, admin; each includes the one before."""

from enum import StrEnum


class Scope(StrEnum):
    """`read`: look and download. `write`: also create, change, remove. `admin`: also keys and audit."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


# POSTs that change nothing: they hand on, for a while, what their caller may read.
_READING = frozenset({"artifacts_sign", "jobs_events_ticket"})
_ADMINISTRATION = ("api_keys_", "audit_events_")


def scope_for(operation_id: str | None, method: str) -> Scope:
    """The scope that an operation asks for. A new operation is covered by its method alone."""
    name = operation_id or ""
    if name.startswith(_ADMINISTRATION):
        return Scope.ADMIN
    return Scope.READ if method in ("GET", "HEAD") or name in _READING else Scope.WRITE
