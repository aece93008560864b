"""The queries that every module needs."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, bindparam, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import ForUpdateParameter

from app.core.database import LOCKS_ROWS, StoredRow, read_rows
from app.core.database_errors import explain
from app.core.error_limit import MAX_ERRORS
from app.core.errors import ConflictError, InvalidError, Reason
from app.core.models import Entity
from app.core.page_statements import page_statement, total_statement
from app.core.pagination import PageQuery, Slice
from app.core.query_check import check_query

EntityT = TypeVar("EntityT", bound=Entity)


class Repository(Generic[EntityT]):
    """Reads and writes entities of one model; flushes every write and never commits.

    `read` and `read_page` return rows, which cost less than entities: nothing but columns, as they
    are stored, to be answered and not to be changed.
    """

    model: type[EntityT]
    # The query class of pages; checked against the model when the repository is imported.
    page_query: type[PageQuery] = PageQuery

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(getattr(cls, "model", None), "__mapper__"):
            check_query(cls.model, cls.page_query)

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, key: UUID) -> EntityT | None:
        """Return an entity, locked if the request is retried because it lost a race for rows."""
        lock: ForUpdateParameter = None
        if self.session.info.get(LOCKS_ROWS):
            # Like an UPDATE: rows that refer to it can be inserted, and joined rows are not locked.
            lock = {"key_share": True, "of": self.model}
        return await self.session.get(self.model, key, with_for_update=lock)

    async def page(self, query: PageQuery) -> Slice[EntityT]:
        """Return entities as the query sorts and filters them, those after the cursor.

        Raises InvalidError for an invalid cursor.
        """
        statement, parameters = page_statement(self.model, query, select)
        entities = (await self.session.scalars(statement, parameters)).all()
        return Slice.cut(self.model, entities, query, await self._total(query))

    async def read(self, key: UUID) -> StoredRow | None:
        """Return the row of an entity."""
        rows = await read_rows(self.session, _row(self.model), {"key": key})
        return rows[0] if rows else None

    async def read_page(self, query: PageQuery) -> Slice[StoredRow]:
        """Return rows as `page` returns entities. Raises InvalidError for an invalid cursor."""
        statement, parameters = page_statement(self.model, query, select_rows)
        rows = await read_rows(self.session, statement, parameters)
        return Slice.cut(self.model, rows, query, await self._total(query))

    async def _total(self, query: PageQuery) -> int | None:
        if not query.total:
            return None
        statement, parameters = total_statement(self.model, query)
        return await self.session.scalar(statement, parameters)

    async def add(self, entity: EntityT) -> EntityT:
        self.session.add(entity)
        await self.session.flush()
        return entity

    async def add_many(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[EntityT]:
        """Insert rows by one statement and return their entities, in the same order.

        Raises ConflictError or InvalidError, which name each row that the database refuses; then
        none is there.
        """
        # Errors of pending changes are not errors of these rows.
        await self.session.flush()
        try:
            async with self.session.begin_nested():
                return await self._insert(rows)
        except DBAPIError as error:
            refusal = explain(error)
            if not isinstance(refusal, ConflictError | InvalidError):
                raise
            reasons = await self._refused(rows) or refusal.errors
            detail = "No rows were added: some were refused."
            if len(reasons) == MAX_ERRORS:
                detail += f" The first {MAX_ERRORS} reasons are listed."
            raise type(refusal)(detail, reasons) from error

    async def _insert(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[EntityT]:
        if not self.session.get_bind().dialect.insert_executemany_returning:
            # MySQL cannot return what it inserts, so the defaults are filled in here.
            entities = [self.model(**row) for row in rows]
            self.session.add_all(entities)
            await self.session.flush()
            return entities
        statement = insert(self.model).returning(self.model, sort_by_parameter_order=True)
        return (await self.session.scalars(statement, rows)).all()

    async def _refused(self, rows: Sequence[Mapping[str, Any]]) -> list[Reason]:
        """Return why the database refuses rows, up to MAX_ERRORS reasons; add none of the rows."""
        reasons: list[Reason] = []
        async with self.session.begin_nested() as search:
            for number, row in enumerate(rows):
                if len(reasons) < MAX_ERRORS:
                    reasons += await self._reasons(row, ["body", number])
            await search.rollback()
        return reasons[:MAX_ERRORS]

    async def _reasons(self, row: Mapping[str, Any], location: list[str | int]) -> Sequence[Reason]:
        try:
            async with self.session.begin_nested():
                await self.session.execute(insert(self.model), [row])
        except DBAPIError as error:
            refusal = explain(error, {name: [*location, name] for name in row}, location)
            # Anything else, such as a deadlock, is not about a row.
            if not isinstance(refusal, ConflictError | InvalidError):
                raise
            return refusal.errors or [Reason(location=location, reason=str(refusal))]
        return []

    async def change(self, entity: EntityT, values: Mapping[str, Any]) -> EntityT:
        for name, value in values.items():
            setattr(entity, name, value)
        await self.session.flush()
        return entity

    async def delete(self, entity: EntityT) -> None:
        if entity.mark_deleted():
            await self.session.flush()
            # Gone for this session, too, which would return it by its key without asking.
            self.session.expunge(entity)
        else:
            await self.session.delete(entity)
            await self.session.flush()


def select_rows(model: type[Entity]) -> Select[*tuple[Any, ...]]:
    """Return a statement for the columns of all rows that readers find, by the attributes' names.

    Raises TypeError for a model that shares a table with the one that it inherits from.
    """
    mapper = model.__mapper__
    if mapper.inherits is not None:
        raise TypeError(f"{model.__name__} inherits columns: use get and page, which know how")
    columns = [column.label(name) for name, column in mapper.columns.items()]
    return select(*columns).where(*model.visibility())


@cache
def _row(model: type[Entity]) -> Select[*tuple[Any, ...]]:
    return select_rows(model).where(model.__mapper__.columns["id"] == bindparam("key"))
