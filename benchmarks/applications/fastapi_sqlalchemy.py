"""The reference: minimal FastAPI and SQLAlchemy, in the style of their documentation."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from schemas import ItemChange, ItemCreate, ItemPage, ItemRead, utc_now
from sqlalchemy import DateTime, String, make_url, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(String(2000))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(DateTime(True), default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(DateTime(True), default=utc_now, onupdate=utc_now)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=10, max_overflow=0)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(open_session)]


def create_app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/api/v1/items", response_model=ItemPage)
    async def page(
        session: SessionDep,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: UUID | None = None,
        offset: int = 0,
    ) -> dict[str, object]:
        statement = select(Item).order_by(Item.id).limit(limit)
        if cursor:
            statement = statement.where(Item.id > cursor)
        if offset:
            statement = statement.offset(offset)
        items = (await session.scalars(statement)).all()
        return {"items": items, "next_cursor": items[-1].id if len(items) == limit else None}

    @app.post("/api/v1/items", status_code=201, response_model=ItemRead)
    async def create(session: SessionDep, data: ItemCreate) -> Item:
        item = Item(**data.model_dump())
        session.add(item)
        await session.commit()
        return item

    @app.get("/api/v1/items/{item_id}", response_model=ItemRead)
    async def get(session: SessionDep, item_id: UUID) -> Item:
        item = await session.get(Item, item_id)
        if item is None:
            raise HTTPException(404)
        return item

    @app.patch("/api/v1/items/{item_id}", response_model=ItemRead)
    async def change(session: SessionDep, item_id: UUID, data: ItemChange) -> Item:
        item = await get(session, item_id)
        for name, value in data.model_dump(exclude_unset=True).items():
            setattr(item, name, value)
        item.version += 1
        await session.commit()
        return item

    return app
