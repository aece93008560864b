import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple
from uuid import UUID

import httpx2
import pytest
from fastapi import Body, FastAPI
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped
from structlog.testing import capture_logs

from app.core import dialect
from app.core.database import SessionDep, SessionFactory, create_session_factory
from app.core.errors import NotFoundError
from app.core.models import Entity, Versioned
from app.core.repository import Repository
from app.core.settings import SettingsError

# Has no deadlocks, but a transaction that reads a row and then writes one that another transaction
# changed in between has to be retried.
SQLITE = bool(dialect.READ_ONLY)
CHANGE = text("UPDATE test__pair SET n = n + 1 WHERE id = :id")
LOOK = text("SELECT n FROM test__pair WHERE id = :id")


SECONDS_BETWEEN = 0.2


class Ticket(Versioned, Entity):
    __tablename__ = "test__ticket"
    # Separate from the application's models, which the migrations are compared with.
    metadata = MetaData(naming_convention=Entity.metadata.naming_convention)

    name: Mapped[str]


class Tickets(Repository[Ticket]):
    model = Ticket

    async def get_one(self, key: UUID) -> Ticket:
        ticket = await self.get(key)
        if ticket is None:
            raise NotFoundError("ticket", key)
        return ticket


class Attempt(NamedTuple):
    """One run of one half of a deadlock, with its start and end in seconds."""

    half: int
    began: float
    ended: float


@pytest.fixture(autouse=True)
def attempts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", str(getattr(request, "param", 2)))
    monkeypatch.setenv("RETRY_WAIT", str(SECONDS_BETWEEN))


@pytest.fixture
def session_factory(engine: AsyncEngine) -> SessionFactory:
    """Sessions that really commit."""
    return create_session_factory(engine)


@pytest.fixture
async def attempts_made(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[list[Attempt]]:
    """Every run of each half of a deadlock."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE test__pair (id INTEGER PRIMARY KEY, n INT)"))
        await connection.execute(text("INSERT INTO test__pair VALUES (1, 0), (2, 0)"))
    made: list[Attempt] = []
    meeting = asyncio.Barrier(2)

    @app.api_route("/change", methods=["GET" if SQLITE else "POST"])
    async def change(session: SessionDep, keys: list[int] = Body()) -> None:  # noqa: B008
        first, second = keys
        began = time.monotonic()
        again = any(one.half == first for one in made)
        await session.execute(LOOK if SQLITE else CHANGE, {"id": first})
        if SQLITE and not again:
            async with engine.begin() as connection:
                await connection.execute(CHANGE, {"id": second})
        elif not again:
            await meeting.wait()
        try:
            await session.execute(CHANGE, {"id": second})
        finally:
            made.append(Attempt(first, began, time.monotonic()))

    yield made
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE test__pair"))


async def change(client: httpx2.AsyncClient) -> list[int]:
    if SQLITE:
        return [200, (await client.request("GET", "/change", json=[1, 2])).status_code]
    requests = [client.post("/change", json=keys) for keys in ([1, 2], [2, 1])]
    return sorted([response.status_code for response in await asyncio.gather(*requests)])


async def test_a_deadlocked_request_is_retried(
    client: httpx2.AsyncClient, engine: AsyncEngine, attempts_made: list[Attempt]
) -> None:
    assert await change(client) == [200, 200]
    [(loser, times)] = Counter(one.half for one in attempts_made).most_common(1)
    assert times == 2
    first, second = (one for one in attempts_made if one.half == loser)
    # An immediate retry may take the rows before the request that waits for them.
    assert second.began - first.ended >= SECONDS_BETWEEN
    async with engine.connect() as connection:
        total = await connection.scalar(text("SELECT sum(n) FROM test__pair"))
    assert total == (2 if SQLITE else 4)


@pytest.mark.parametrize("attempts", [1], indirect=True)
async def test_a_deadlock_in_the_last_attempt_returns_503_and_logs_it(
    client: httpx2.AsyncClient, attempts_made: list[Attempt]
) -> None:
    with capture_logs() as lines:
        assert await change(client) == [200, 503]
    assert [line["event"] for line in lines].count("transaction conflict") == 1
    assert len(attempts_made) == len({one.half for one in attempts_made})


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "1e300"])
def test_an_invalid_duration_prevents_startup(
    configured_app: Callable[..., FastAPI], value: str
) -> None:
    with pytest.raises(SettingsError, match=f"RETRY_WAIT='{value}': "):
        configured_app(RETRY_WAIT=value)


@pytest.fixture
async def ticket(
    app: FastAPI, engine: AsyncEngine, session_factory: SessionFactory
) -> AsyncIterator[str]:
    """The link to a ticket that can be changed and deleted."""
    async with engine.begin() as connection:
        await connection.run_sync(Ticket.metadata.create_all)
    async with session_factory.begin() as session:
        key = (await Tickets(session).add(Ticket(name="first"))).id

    @app.patch("/tickets/{key}")
    async def change(session: SessionDep, key: UUID, name: str) -> int:
        tickets = Tickets(session)
        return (await tickets.update(await tickets.get_one(key), {"name": name})).version

    @app.post("/tickets/{key}/stale")
    async def change_stale(session: SessionDep, key: UUID) -> None:
        app.state.runs = getattr(app.state, "runs", 0) + 1
        stale = await Tickets(session).get_one(key)
        await session.execute(text("UPDATE test__ticket SET version = version + 1"))
        await Tickets(session).update(stale, {"name": "changed"})

    @app.delete("/tickets/{key}", status_code=204)
    async def delete(session: SessionDep, key: UUID) -> None:
        tickets = Tickets(session)
        await tickets.delete(await tickets.get_one(key))

    yield f"/tickets/{key}"
    async with engine.begin() as connection:
        await connection.run_sync(Ticket.metadata.drop_all)


async def test_concurrent_updates_without_precondition_all_succeed(
    client: httpx2.AsyncClient, ticket: str
) -> None:
    changes = [client.patch(ticket, params={"name": str(number)}) for number in range(20)]
    responses = await asyncio.gather(*changes)
    assert Counter(response.status_code for response in responses) == {200: 20}
    assert sorted(response.json() for response in responses) == list(range(2, 22))


async def test_concurrent_deletes_return_404_after_the_first(
    client: httpx2.AsyncClient, ticket: str
) -> None:
    responses = await asyncio.gather(*(client.delete(ticket) for _ in range(10)))
    assert Counter(response.status_code for response in responses) == {204: 1, 404: 9}


@pytest.mark.parametrize("attempts", [1], indirect=True)
@pytest.mark.parametrize(("if_match", "status"), [(None, 409), ("*", 409), ('"1"', 412)])
async def test_a_stale_row_in_the_last_attempt_returns_409(
    client: httpx2.AsyncClient, ticket: str, if_match: str | None, status: int
) -> None:
    headers = {"If-Match": if_match} if if_match else {}
    assert (await client.post(f"{ticket}/stale", headers=headers)).status_code == status


async def test_a_stale_row_with_if_match_is_not_retried(
    client: httpx2.AsyncClient, app: FastAPI, ticket: str
) -> None:
    assert (await client.post(f"{ticket}/stale")).status_code == 409
    assert app.state.runs == 2
    response = await client.post(f"{ticket}/stale", headers={"If-Match": '"1"'})
    assert response.status_code == 412
    assert app.state.runs == 3
