"""Triggers, across the alteration of their tables."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op


@contextmanager
def kept_triggers() -> Iterator[None]:
    """Have SQLite's triggers away while tables are altered, and back afterwards.

    It builds a table anew to alter it: the old one's triggers go with it, and those of other tables that
    mention it get in the way. PostgreSQL keeps them by itself.
    """
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        yield
        return
    triggers = bind.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, _ in triggers:
        op.execute(f'DROP TRIGGER "{name}"')
    yield
    for _, sql in triggers:
        bind.exec_driver_sql(sql)
