"""What models, modules and compositions have in common: lineage, cards, comparisons, labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.client.aio.transport import AsyncTransport, segment
from service.client.provenance import Card, Comparison, Lineage


class AsyncRecordsClient:
    """Base of `client.models`, `client.modules` and `client.compositions`."""

    path: str

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def lineage(self, owner_id: str) -> Lineage:
        """The data, job, attempt, code and seed that made it, and what uses it."""
        return await self._transport.get(f"{self.path}/{segment(owner_id)}/lineage", Lineage)

    async def card(self, owner_id: str) -> Card:
        """What one should know before using it."""
        return await self._transport.get(f"{self.path}/{segment(owner_id)}/card", Card)

    async def card_markdown(self, owner_id: str) -> str:
        """The card as a page of Markdown."""
        headers = {"Accept": "text/markdown"}
        answer = await self._transport.send("GET", f"{self.path}/{segment(owner_id)}/card", headers=headers)
        return answer.text

    async def compare(self, ids: Sequence[str]) -> Comparison:
        """Two to ten of them side by side."""
        return await self._transport.get(f"{self.path}/compare", Comparison, {"ids": ",".join(ids)})


def changes(tags: Sequence[str] | None, metadata: Mapping[str, str | None] | None) -> dict[str, Any]:
    """The body of a change of labels: what is None stays as it is."""
    given = {"tags": None if tags is None else list(tags), "metadata": metadata and dict(metadata)}
    return {name: value for name, value in given.items() if value is not None}
