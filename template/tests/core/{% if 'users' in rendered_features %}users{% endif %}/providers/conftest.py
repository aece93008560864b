"""Fixtures of logins with a provider, which runs on this machine."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from fastapi import FastAPI

from tests.conftest import connect
from tests.core.users.providers.browser import Browser
from tests.core.users.providers.corp_provider import CLIENT_ID, SECRET, CorpProvider
from tools.identity_server import run_identity_provider


@pytest.fixture(scope="session")
def running_provider() -> Iterator[CorpProvider]:
    with run_identity_provider(CorpProvider) as provider:
        yield provider


@pytest.fixture
def provider(running_provider: CorpProvider) -> CorpProvider:
    running_provider.reset()
    return running_provider


@pytest.fixture
def provider_app(
    configured_app: Callable[..., FastAPI], provider: CorpProvider
) -> Callable[..., FastAPI]:
    """Make an application whose users log in with the provider `corp`; see `configured_app`."""

    def make(**variables: str) -> FastAPI:
        corp = {
            "USERS_PROVIDERS": "corp",
            "USERS_PROVIDER_CORP_ISSUER": provider.issuer,
            "USERS_PROVIDER_CORP_CLIENT_ID": CLIENT_ID,
            "USERS_PROVIDER_CORP_CLIENT_SECRET": SECRET,
        }
        return configured_app(**corp | variables)

    return make


@pytest.fixture
async def browser(app: FastAPI, provider: CorpProvider) -> AsyncIterator[Browser]:
    async with connect(app, "https://test") as client:
        yield Browser(client, provider)
