"""Rows that somebody is about to name, and rows that somebody is about to remove: one waits for the other.

A job names models, modules, compositions and datasets in its spec, where no foreign key looks. Whoever writes
such a job holds what it names until the transaction ends; whoever removes something takes its row before
asking what uses it. So the one sees what the other has done. SQLite has one writer, and needs no locks.

Nobody waits in a circle: who removes takes one row, and then waits for no row that somebody holds. To hold
the same row is no conflict, nor is to change it.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select

# What is done to a query so that its rows are locked until the transaction ends. Rows that are gone by the
# time the lock is there, or do not fit any more, are not found.
Lock = Callable[[Select[Any]], Select[Any]]


def unlocked(rows: Select[Any]) -> Select[Any]:
    """As they are now."""
    return rows


def held(rows: Select[Any]) -> Select[Any]:
    """Nobody removes them, as if a foreign key named them."""
    return _as_they_are(rows.with_for_update(read=True, key_share=True))


def changing(rows: Select[Any]) -> Select[Any]:
    """Nobody else changes or removes them."""
    return _as_they_are(rows.with_for_update(key_share=True))


def taken(rows: Select[Any]) -> Select[Any]:
    """Nobody else changes, removes or holds them: to be removed."""
    return _as_they_are(rows.with_for_update())


def _as_they_are(rows: Select[Any]) -> Select[Any]:
    """Not as this session has read them before it had the lock."""
    return rows.execution_options(populate_existing=True)
