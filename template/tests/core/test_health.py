import httpx2
from fastapi import FastAPI

from app.core.database import create_engine, create_session_factory
from app.core.settings import DatabaseSettings, Settings


async def test_liveness_returns_ok(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200


async def test_readiness_returns_ok(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/ready")).json() == {"status": "ok"}


async def test_readiness_reports_an_unavailable_database(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings
) -> None:
    url = settings.database.url.set(database="/missing/database")
    engine = create_engine(DatabaseSettings.model_construct(url=url))
    app.state.session_factory = create_session_factory(engine)
    response = await client.get("/health/ready")
    await engine.dispose()
    assert response.status_code == 503
    assert response.json()["detail"].startswith("The database is unavailable: ")
    assert (await client.get("/health/live")).status_code == 200
