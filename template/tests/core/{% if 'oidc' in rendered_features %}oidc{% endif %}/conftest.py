from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeAlias

import httpx2
import pytest
from fastapi import FastAPI

from app.core.auth.principal import Principal
from app.core.auth.requirements import Caller, require
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import connect
from tests.core.openid.faulty_provider import FaultyProvider

MakeApp: TypeAlias = Callable[..., FastAPI]

SCOPE = "thing:read"


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """`make_app(clock_skew=0)` sets `OIDC_CLOCK_SKEW`; the application needs no database."""

    def make(**variables: object) -> FastAPI:
        for name, value in variables.items():
            monkeypatch.setenv(f"OIDC_{name.upper()}", str(value))
        app = create_app(Settings.model_construct(), configure_logging=False)
        add_routes(app)
        return app

    return make


def add_routes(app: FastAPI) -> None:
    @app.get("/public")
    async def public() -> str:
        return "anyone"

    @app.get("/caller")
    async def caller(caller: Caller) -> dict[str, Any]:
        return {"id": caller.id, "scopes": sorted(caller.scopes)}

    @app.get("/private/{number}")
    async def private(number: int, caller: Annotated[Principal, require(SCOPE)]) -> dict[str, Any]:
        return {"id": caller.id, "number": number}


@pytest.fixture
async def client(make_app: MakeApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with connect(make_app()) as client:
        yield client


@pytest.fixture
def faulty_provider(
    faulty_provider: FaultyProvider, monkeypatch: pytest.MonkeyPatch
) -> FaultyProvider:
    """A provider that has no faults yet, and whose tokens applications accept."""
    monkeypatch.setenv("OIDC_ISSUER", faulty_provider.identity.issuer)
    return faulty_provider


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
