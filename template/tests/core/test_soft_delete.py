from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Executable,
    ForeignKey,
    MetaData,
    Select,
    delete,
    exists,
    func,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import (
    Mapped,
    aliased,
    contains_eager,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)
from sqlalchemy.orm.exc import StaleDataError

from app.core.database import Session, create_session_factory
from app.core.database_errors import PreconditionFailedError
from app.core.models import Entity, Versioned
from app.core.optimistic_locking import check_version
from app.core.pagination import PageQuery
from app.core.repository import Repository
from app.core.soft_delete import (
    INCLUDE_DELETED,
    SoftDelete,
    SoftDeleteRepository,
    unique_active,
)

# Separate from the application's models, which the migrations are compared with.
METADATA = MetaData(naming_convention=Entity.metadata.naming_convention)


class Shelf(Entity):
    __tablename__ = "test__shelf"
    metadata = METADATA

    books: Mapped[list["Book"]] = relationship(lazy="raise", order_by="Book.id", viewonly=True)
    lazy_books: Mapped[list["Book"]] = relationship(lazy="select", viewonly=True)
    joined_books: Mapped[list["Book"]] = relationship(lazy="joined", viewonly=True)


class Book(SoftDelete):
    __tablename__ = "test__book"
    metadata = METADATA
    __table_args__ = (unique_active("name", "shelf_id"),)

    name: Mapped[str]
    shelf_id: Mapped[UUID] = mapped_column(ForeignKey(Shelf.id))
    next_id: Mapped[UUID | None] = mapped_column(ForeignKey("test__book.id"))
    next: Mapped["Book | None"] = relationship(lazy="raise", remote_side="Book.id")


class Leaflet(Versioned, SoftDelete):
    __tablename__ = "test__leaflet"
    metadata = METADATA

    name: Mapped[str]


class Leaflets(SoftDeleteRepository[Leaflet]):
    model = Leaflet


class Books(SoftDeleteRepository[Book]):
    model = Book


class Shelves(Repository[Shelf]):
    model = Shelf


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[Session]:
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    async with create_session_factory(engine)() as session:
        yield session
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)


@pytest.fixture
async def shelf(session: Session) -> Shelf:
    """A shelf with a deleted book, and an active one that refers to it."""
    shelf = await Shelves(session).add(Shelf())
    deleted = await Books(session).add(Book(name="deleted", shelf_id=shelf.id))
    await Books(session).add(Book(name="active", shelf_id=shelf.id, next_id=deleted.id))
    await Books(session).delete(deleted)
    session.expunge_all()
    return shelf


async def find(session: Session, name: str) -> Book:
    """Return a book, deleted or not, separate from other entities of the session."""
    named = select(Book).where(Book.name == name)
    return (await session.scalars(named, execution_options=INCLUDE_DELETED)).one()


ALIAS = aliased(Book)
NAMES = select(Book.name).subquery()
READS: dict[str, Executable] = {
    "entity": select(Book),
    "column": select(Book.name),
    "alias": select(ALIAS),
    "join": select(Book.name).select_from(Shelf).join(Shelf.books),
    "join on": select(Book).select_from(Shelf).join(Book, Book.shelf_id == Shelf.id),
    "joined alias": select(ALIAS.id).select_from(Shelf).join(Shelf.books.of_type(ALIAS)),
    "subquery": select(NAMES),
    "cte": select(select(Book).cte()),
    "union": union_all(select(Book.name), select(Book.name).where(Book.name == "none")),
    "in": select(Book.id).where(Book.id.in_(select(ALIAS.id))),
    "for update": select(Book).with_for_update(),
    "populate": select(Book).execution_options(populate_existing=True),
}


@pytest.mark.parametrize("statement", READS.values(), ids=READS)
@pytest.mark.usefixtures("shelf")
async def test_select_finds_no_deleted_rows(session: Session, statement: Executable) -> None:
    assert len((await session.execute(statement)).all()) == 1
    everything = await session.execute(statement, execution_options=INCLUDE_DELETED)
    assert len(everything.all()) == 2


async def test_repository_returns_no_deleted_rows(session: Session, shelf: Shelf) -> None:
    deleted = await find(session, "deleted")
    await session.commit()
    books = Books(session)
    assert await books.get_row(deleted.id) is None
    page = await books.list_rows(PageQuery(total=True))
    assert [book.name for book in page.items] == ["active"]
    assert page.total == 1
    assert (await Shelves(session).get_row(shelf.id)) is not None


COUNTS: dict[str, Select[int]] = {
    "count": select(func.count()).select_from(Book),
    "count of a column": select(func.count(Book.id)),
    "count of a join": select(func.count()).select_from(Shelf).outerjoin(Shelf.books),
    "scalar subquery": select(select(func.count(Book.id)).scalar_subquery()),
    "exists": select(func.count(Shelf.id)).where(
        exists().where(Book.shelf_id == Shelf.id, Book.name == "active")
    ),
    "any": select(func.count(Shelf.id)).where(~Shelf.books.any(Book.name == "deleted")),
}


@pytest.mark.parametrize("statement", COUNTS.values(), ids=COUNTS)
@pytest.mark.usefixtures("shelf")
async def test_aggregate_counts_no_deleted_rows(session: Session, statement: Select[int]) -> None:
    assert await session.scalar(statement) == 1


LOADS: dict[str, Callable[[], Select[Shelf]]] = {
    "selectin": lambda: select(Shelf).options(selectinload(Shelf.books)),
    "joined": lambda: select(Shelf).options(joinedload(Shelf.books)),
    "subquery": lambda: select(Shelf).options(subqueryload(Shelf.books)),
    "contains": lambda: select(Shelf).join(Shelf.books).options(contains_eager(Shelf.books)),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
async def test_eager_load_finds_no_deleted_rows(
    session: Session, shelf: Shelf, load: Callable[[], Select[Shelf]]
) -> None:
    loaded = (await session.scalars(load())).unique().one()
    assert [book.name for book in loaded.books] == ["active"]
    assert [book.name for book in loaded.joined_books] == ["active"]
    await session.refresh(loaded)
    assert [book.name for book in loaded.joined_books] == ["active"]
    everything = await session.scalars(load(), execution_options=INCLUDE_DELETED)
    assert [book.name for book in everything.unique().one().books] == ["deleted", "active"]


async def test_lazy_load_finds_no_deleted_rows(session: Session, shelf: Shelf) -> None:
    def load(_: object) -> list[str]:
        return [book.name for book in again.lazy_books]

    again = await session.get_one(Shelf, shelf.id)
    assert await session.run_sync(load) == ["active"]
    session.add(new := Shelf())
    await session.flush()
    await session.execute(update(Book).values(shelf_id=new.id), execution_options=INCLUDE_DELETED)
    again = new
    assert await session.run_sync(load) == ["active"]


@pytest.mark.parametrize("load", [selectinload, joinedload])
@pytest.mark.usefixtures("shelf")
async def test_reference_to_a_deleted_row_is_none(
    session: Session, load: Callable[[Any], Any]
) -> None:
    book = (await session.scalars(select(Book).options(load(Book.next)))).one()
    assert book.next_id is not None
    assert book.next is None


async def test_get_finds_no_deleted_entity(session: Session, shelf: Shelf) -> None:
    books = Books(session)
    book = await books.add(Book(name="new", shelf_id=shelf.id))
    assert await session.get(Book, book.id) is book
    await books.delete(book)
    assert book.deleted_at is not None
    assert await books.get(book.id) is None
    seen = await session.get(Book, book.id, execution_options=INCLUDE_DELETED)
    assert seen is not None
    assert seen.name == "new"
    assert await books.get(book.id) is None
    assert await session.get(Book, book.id, populate_existing=True) is None
    session.expire_all()
    assert await books.get(book.id) is None


@pytest.mark.usefixtures("shelf")
async def test_page_has_no_deleted_rows(session: Session) -> None:
    page = await Books(session).list_entities(PageQuery(limit=1))
    assert [book.name for book in page.items] == ["active"]
    assert page.next_cursor is None


async def test_refresh_loads_a_deletion_by_another_session(session: Session, shelf: Shelf) -> None:
    book = await Books(session).add(Book(name="new", shelf_id=shelf.id))
    await session.execute(text("UPDATE test__book SET deleted_at = created_at"))
    await session.refresh(book)
    assert book.deleted_at == book.created_at


@pytest.mark.usefixtures("shelf")
async def test_bulk_update_and_delete_skip_deleted_rows(session: Session) -> None:
    await session.execute(update(Book).values(name="changed"))
    assert (await find(session, "deleted")).deleted_at is not None
    await session.execute(update(Book).values(next_id=None), execution_options=INCLUDE_DELETED)
    await session.execute(delete(Book))
    count = select(func.count(Book.id))
    assert await session.scalar(count, execution_options=INCLUDE_DELETED) == 1


async def test_restored_entity_is_found_again(session: Session, shelf: Shelf) -> None:
    books = Books(session)
    deleted = await find(session, "deleted")
    restored = await books.restore(deleted.id)
    assert restored is not None
    assert restored is await books.get(deleted.id)
    assert restored.name == "deleted"
    assert restored.deleted_at is None
    assert await books.restore(restored.id) is restored
    assert await books.restore(shelf.id) is None


async def test_deleting_and_restoring_set_updated_at(session: Session, shelf: Shelf) -> None:
    books = Books(session)
    book = await books.add(Book(name="new", shelf_id=shelf.id))
    created = book.updated_at
    await books.delete(book)
    deleted = await find(session, "new")
    assert created < deleted.updated_at
    restored = await books.restore(book.id)
    assert restored is not None
    assert deleted.updated_at < restored.updated_at
    assert restored.created_at == book.created_at


async def test_deleting_and_restoring_increment_the_version(session: Session) -> None:
    leaflets = Leaflets(session)
    leaflet = await leaflets.add(Leaflet(name="new"))
    key, created = leaflet.id, leaflet.version
    await leaflets.delete(leaflet)
    assert leaflet.version == created + 1
    restored = await leaflets.restore(key)
    assert restored is not None
    assert restored.version == created + 2
    with pytest.raises(PreconditionFailedError):
        check_version(restored, f'"{created}"')
    assert (await leaflets.update(restored, {"name": "changed"})).version == created + 3
    again = await leaflets.restore(key)
    assert again is restored
    assert again.version == created + 3


async def test_deletion_of_a_row_changed_meanwhile_is_rejected(session: Session) -> None:
    leaflet = await Leaflets(session).add(Leaflet(name="new"))
    await session.execute(text("UPDATE test__leaflet SET version = version + 1"))
    with pytest.raises(StaleDataError):
        await Leaflets(session).delete(leaflet)


async def test_unique_active_index_ignores_deleted_rows(session: Session, shelf: Shelf) -> None:
    books = Books(session)
    keys = []
    for _ in range(3):
        book = await books.add(Book(name="same", shelf_id=shelf.id))
        keys.append(book.id)
        await books.delete(book)
    await books.add(Book(name="same", shelf_id=shelf.id))
    with pytest.raises(IntegrityError):
        async with session.begin_nested():
            await books.add(Book(name="same", shelf_id=shelf.id))
    with pytest.raises(IntegrityError):
        async with session.begin_nested():
            await books.restore(keys[0])
    assert await books.get(keys[0]) is None


async def test_entity_without_soft_delete_loses_its_row(session: Session) -> None:
    shelf = await Shelves(session).add(Shelf())
    await Shelves(session).delete(shelf)
    assert await session.scalar(text("SELECT count(*) FROM test__shelf")) == 0


def test_index_name_follows_the_naming_convention() -> None:
    [index] = METADATA.tables[Book.__tablename__].indexes
    assert str(index.name).startswith("ix_test__book_name_shelf_id")
