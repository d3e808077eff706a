"""Deleting many rows without holding anybody up: SQLite has one writer, and everybody waits for it."""

import time
from typing import Any

from sqlalchemy import delete, inspect, select, tuple_

from service.platform.database import Base, Database

AT_ONCE = 500
BREATH_S = 0.02


def delete_gradually(database: Database, table: type[Base], *conditions: Any) -> None:
    """Delete the rows that meet all conditions, at most `AT_ONCE` in a transaction, then a breath."""
    key = inspect(table).primary_key
    while True:
        with database.read() as session:  # searching takes longest
            found = [tuple(row) for row in session.execute(select(*key).where(*conditions).limit(AT_ONCE))]
        if found:
            with database.write() as session:
                some = delete(table).where(tuple_(*key).in_(found), *conditions)
                session.execute(some, execution_options={"synchronize_session": False})
        if len(found) < AT_ONCE:
            return
        time.sleep(BREATH_S)
