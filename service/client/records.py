# Written by `python -m service.sync_client` from aio/records.py, which is the one to change.
"""What models, modules and compositions have in common: lineage, cards, comparisons, labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.client.provenance import Card, Comparison, Lineage
from service.client.transport import Transport, segment


class RecordsClient:
    """Base of `client.models`, `client.modules` and `client.compositions`."""

    path: str

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def lineage(self, owner_id: str) -> Lineage:
        """The data, job, attempt, code and seed that made it, and what uses it."""
        return self._transport.get(f"{self.path}/{segment(owner_id)}/lineage", Lineage)

    def card(self, owner_id: str) -> Card:
        """What one should know before using it."""
        return self._transport.get(f"{self.path}/{segment(owner_id)}/card", Card)

    def card_markdown(self, owner_id: str) -> str:
        """The card as a page of Markdown."""
        headers = {"Accept": "text/markdown"}
        answer = self._transport.send("GET", f"{self.path}/{segment(owner_id)}/card", headers=headers)
        return answer.text

    def compare(self, ids: Sequence[str]) -> Comparison:
        """Two to ten of them side by side."""
        return self._transport.get(f"{self.path}/compare", Comparison, {"ids": ",".join(ids)})


def changes(tags: Sequence[str] | None, metadata: Mapping[str, str | None] | None) -> dict[str, Any]:
    """The body of a change of labels: what is None stays as it is."""
    given = {"tags": None if tags is None else list(tags), "metadata": metadata and dict(metadata)}
    return {name: value for name, value in given.items() if value is not None}
