"""`column IN (...)` with one parameter for any number of values, and what is told of many ids by it.

Written out, two hundred values are a long text that is made, sent and parsed again for each page.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ARRAY, Boolean, ColumnElement, Dialect, Select, String, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _Texts(TypeDecorator[list[str]]):
    """An array where the database has them, else JSON."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(String()) if dialect.name == "postgresql" else String()

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else json.dumps(value)


class _Among(FunctionElement[bool]):
    name = "among"
    type = Boolean()
    inherit_cache = True


def among(column: Any, values: Iterable[str]) -> FunctionElement[bool]:
    """The condition that the column is one of these texts; of none where there are none."""
    return _Among(column, bindparam(None, list(values), type_=_Texts()))


class Told:
    """What a statement tells of the rows of given ids: built once, and run without the ORM.

    Its share of a small statement is more than the database's. So it is told here whose rows: those of the
    session's tenant, or everybody's where the session is of none.
    """

    def __init__(self, statement: Select[Any], column: ColumnElement[str]) -> None:
        self._any = statement.where(_Among(column, bindparam("ids", type_=_Texts())))
        self._own = self._any.where(column.table.c.tenant_id == bindparam("tenant_id"))

    def rows(self, session: Session, ids: Iterable[str]) -> Sequence[Any]:
        """The rows whose `column` is one of these ids."""
        session.flush()  # what was added, as the ORM would
        wanted = {"ids": list(ids), "tenant_id": session.info.get("tenant_id")}
        if wanted["tenant_id"] is None:
            return session.connection().execute(self._any, {"ids": wanted["ids"]}).all()
        return session.connection().execute(self._own, wanted).all()


@compiles(_Among, "postgresql")
def _any(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(_Among, "sqlite")
def _each(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - names of a column and a parameter
