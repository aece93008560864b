"""The base class of repositories: the queries that every module needs."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, bindparam, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import ForUpdateParameter

from app.core.database import LOCKS_ROWS, StoredRow, read_rows
from app.core.database_errors import to_app_error
from app.core.errors import MAX_ERRORS, ConflictError, ErrorDetail, InvalidError
from app.core.models import Entity
from app.core.pagination import PageQuery, PageResult
from app.core.pagination.query_check import check_query
from app.core.pagination.statements import count_statement, page_statement

EntityT = TypeVar("EntityT", bound=Entity)


class Repository(Generic[EntityT]):
    """Reads and writes entities of one model; flushes each write and never commits.

    `get_row` and `list_rows` return rows for responses. They are faster than entities, and
    read-only.
    """

    model: type[EntityT]
    page_query: type[PageQuery] = PageQuery
    """The query class of lists; checked against the model when the repository is defined."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(getattr(cls, "model", None), "__mapper__"):
            check_query(cls.model, cls.page_query)

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, key: UUID) -> EntityT | None:
        """Return an entity or None, with its row locked if the request is a retry."""
        lock: ForUpdateParameter = None
        if self.session.info.get(LOCKS_ROWS):
            # Like an UPDATE: allows inserts of rows that refer to it, and skips joined tables.
            lock = {"key_share": True, "of": self.model}
        return await self.session.get(self.model, key, with_for_update=lock)

    async def list_entities(self, query: PageQuery) -> PageResult[EntityT]:
        """Return one page of entities. Raises InvalidError for an invalid cursor."""
        statement, parameters = page_statement(self.model, query, select)
        entities = (await self.session.scalars(statement, parameters)).all()
        return PageResult.from_rows(self.model, entities, query, await self._count(query))

    async def get_row(self, key: UUID) -> StoredRow | None:
        """Return the row of an entity or None."""
        rows = await read_rows(self.session, _row_statement(self.model), {"key": key})
        return rows[0] if rows else None

    async def list_rows(self, query: PageQuery) -> PageResult[StoredRow]:
        """Return one page of rows. Raises InvalidError for an invalid cursor."""
        statement, parameters = page_statement(self.model, query, select_rows)
        rows = await read_rows(self.session, statement, parameters)
        return PageResult.from_rows(self.model, rows, query, await self._count(query))

    async def _count(self, query: PageQuery) -> int | None:
        if not query.total:
            return None
        statement, parameters = count_statement(self.model, query)
        return await self.session.scalar(statement, parameters)

    async def add(self, entity: EntityT) -> EntityT:
        self.session.add(entity)
        await self.session.flush()
        return entity

    async def add_many(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[EntityT]:
        """Insert rows with one statement and return their entities in the same order.

        Raises ConflictError or InvalidError, with a reason for each rejected row, and adds none.
        """
        # Errors of pending changes are not errors of these rows.
        await self.session.flush()
        try:
            async with self.session.begin_nested():
                return await self._insert(rows)
        except DBAPIError as error:
            rejection = to_app_error(error)
            if not isinstance(rejection, ConflictError | InvalidError):
                raise
            reasons = await self._find_rejected(rows) or rejection.errors
            detail = "No rows were added, because some were rejected."
            if len(reasons) == MAX_ERRORS:
                detail += f" The first {MAX_ERRORS} reasons are listed."
            raise type(rejection)(detail, reasons) from error

    async def _insert(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[EntityT]:
        if not self.session.get_bind().dialect.insert_executemany_returning:
            # MySQL has no INSERT RETURNING, so the ORM fills in the defaults.
            entities = [self.model(**row) for row in rows]
            self.session.add_all(entities)
            await self.session.flush()
            return entities
        statement = insert(self.model).returning(self.model, sort_by_parameter_order=True)
        return (await self.session.scalars(statement, rows)).all()

    async def _find_rejected(self, rows: Sequence[Mapping[str, Any]]) -> list[ErrorDetail]:
        """Insert rows one by one, roll back, and return up to MAX_ERRORS reasons."""
        reasons: list[ErrorDetail] = []
        async with self.session.begin_nested() as search:
            for number, row in enumerate(rows):
                if len(reasons) < MAX_ERRORS:
                    reasons += await self._try_insert(row, ["body", number])
            await search.rollback()
        return reasons[:MAX_ERRORS]

    async def _try_insert(
        self, row: Mapping[str, Any], location: list[str | int]
    ) -> Sequence[ErrorDetail]:
        try:
            async with self.session.begin_nested():
                await self.session.execute(insert(self.model), [row])
        except DBAPIError as error:
            rejection = to_app_error(error, {name: [*location, name] for name in row}, location)
            # Other errors, such as a deadlock, are not about a row.
            if not isinstance(rejection, ConflictError | InvalidError):
                raise
            return rejection.errors or [ErrorDetail(location=location, reason=str(rejection))]
        return []

    async def update(self, entity: EntityT, values: Mapping[str, Any]) -> EntityT:
        for name, value in values.items():
            setattr(entity, name, value)
        await self.session.flush()
        return entity

    async def delete(self, entity: EntityT) -> None:
        if entity.soft_delete:
            entity.mark_deleted()
            await self.session.flush()
            # `session.get` would find it in the session without a query.
            self.session.expunge(entity)
        else:
            await self.session.delete(entity)
            await self.session.flush()

    # Alias for modules rendered before 0.3.0; remove in 0.5.0.
    page = list_entities
    change = update


def select_rows(model: type[Entity]) -> Select[*tuple[Any, ...]]:
    """Return a SELECT of all columns, labelled as the model's attributes.

    Raises TypeError for a model that inherits from a model with a table.
    """
    mapper = model.__mapper__
    if (parent := mapper.inherits) is not None:
        raise TypeError(
            f"{model.__name__} inherits from the model {parent.class_.__name__}, so that its rows"
            " need the ORM; use `get` and `list_entities`"
        )
    columns = [column.label(name) for name, column in mapper.columns.items()]
    return select(*columns).where(*model.default_criteria())


@cache
def _row_statement(model: type[Entity]) -> Select[*tuple[Any, ...]]:
    return select_rows(model).where(model.__mapper__.columns["id"] == bindparam("key"))
