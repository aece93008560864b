import httpx2
from fastapi import FastAPI

from app.core.database import create_engine, create_session_factory
from app.core.settings import DatabaseSettings, Settings


async def test_the_process_lives(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200


async def test_the_database_is_ready(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/ready")).json() == {"status": "ok"}


async def test_a_database_that_does_not_answer_is_reported(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings
) -> None:
    url = settings.database.url.set(database="/missing/database")
    engine = create_engine(DatabaseSettings.model_construct(url=url))
    app.state.session_factory = create_session_factory(engine)
    response = await client.get("/health/ready")
    await engine.dispose()
    assert response.status_code == 503
    assert response.json()["detail"].startswith("The database does not answer: ")
    assert (await client.get("/health/live")).status_code == 200
