import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import httpx2
import pytest
from fastapi import Body, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import dialect
from app.core.database import SessionDep, SessionFactory, create_session_factory
from app.core.settings import SettingsError

# It has no deadlocks, but who reads, and then writes what another one changed, has to begin anew.
SQLITE = bool(dialect.READING)
CHANGE = text("UPDATE test__pair SET n = n + 1 WHERE id = :id")
LOOK = text("SELECT n FROM test__pair WHERE id = :id")


SECONDS_BETWEEN = 0.2


class Try(NamedTuple):
    """One run of half a deadlock: which half, and when."""

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
async def tries(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[list[Try]]:
    """Every run of each half of a deadlock."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE test__pair (id INTEGER PRIMARY KEY, n INT)"))
        await connection.execute(text("INSERT INTO test__pair VALUES (1, 0), (2, 0)"))
    made: list[Try] = []
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
            made.append(Try(first, began, time.monotonic()))

    yield made
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE test__pair"))


async def change(client: httpx2.AsyncClient) -> list[int]:
    if SQLITE:
        return [200, (await client.request("GET", "/change", json=[1, 2])).status_code]
    requests = [client.post("/change", json=keys) for keys in ([1, 2], [2, 1])]
    return sorted([response.status_code for response in await asyncio.gather(*requests)])


async def test_the_loser_of_a_deadlock_is_run_again(
    client: httpx2.AsyncClient, engine: AsyncEngine, tries: list[Try]
) -> None:
    assert await change(client) == [200, 200]
    [(loser, times)] = Counter(one.half for one in tries).most_common(1)
    assert times == 2
    first, second = (one for one in tries if one.half == loser)
    # Who begins anew at once may take the rows before the one who waits for them.
    assert second.began - first.ended >= SECONDS_BETWEEN
    async with engine.connect() as connection:
        total = await connection.scalar(text("SELECT sum(n) FROM test__pair"))
    assert total == (2 if SQLITE else 4)


@pytest.mark.parametrize("attempts", [1], indirect=True)
async def test_without_more_attempts_the_loser_gets_503(
    client: httpx2.AsyncClient, tries: list[Try]
) -> None:
    assert await change(client) == [200, 503]
    assert len(tries) == len({one.half for one in tries})


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "1e300"])
def test_a_wrong_time_stops_the_start(configured_app: Callable[..., FastAPI], value: str) -> None:
    with pytest.raises(SettingsError, match=f"RETRY_WAIT '{value}' is wrong"):
        configured_app(RETRY_WAIT=value)
