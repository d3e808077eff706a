"""What callers write on models, modules and compositions."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.database import Base, TenantOwned


class Label(TenantOwned, Base):
    """A pair of metadata; with an empty key, a tag. `owner_id` is a model, module or composition."""

    __tablename__ = "labels"
    __table_args__ = (Index("ix_labels_search", "tenant_id", "key", "value", "owner_id"),)

    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(512), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
