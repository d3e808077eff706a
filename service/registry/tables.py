"""What models, modules and compositions have in common, and what callers write on them."""

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.database import Base, TenantOwned
from service.registry.scores import SCORES, Finds, Scored, search_indexes


class Revised:
    """A row that says by `revision` whether what is told of it has changed.

    The database gives it another number in each transaction that changes the row, its labels, figures, files
    or aliases. What else is told of it is written together with the row and never changes.
    """

    revision: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Label(Finds, Scored, TenantOwned, Base):
    """A pair of metadata; with an empty key, a tag. `owner_id` is a model, module or composition.

    `kind` is what its ids begin with: a list of one kind reads no label of the others.
    """

    __tablename__ = "labels"
    __table_args__ = search_indexes("labels", SCORES, equal=("kind", "key", "value"), row_id="owner_id")

    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(512), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
