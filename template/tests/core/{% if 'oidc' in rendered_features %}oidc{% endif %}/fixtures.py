"""The fixture `authorize`, which makes callers of the API, and the provider behind it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.core.auth.callers import Authorize
from tools.development_provider import DevelopmentProvider
from tools.identity_provider import AUDIENCE, IdentityProvider
from tools.identity_server import run_identity_provider


@pytest.fixture(scope="session")
def identity_provider() -> Iterator[IdentityProvider]:
    with run_identity_provider(DevelopmentProvider) as provider:
        yield provider


@pytest.fixture(scope="session", autouse=True)
def _accept_its_tokens(identity_provider: IdentityProvider) -> Iterator[None]:
    """Set the variables of the provider, also for processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_ISSUER", identity_provider.issuer)
        patch.setenv("OIDC_AUDIENCE", AUDIENCE)
        yield


@pytest.fixture
def authorize(identity_provider: IdentityProvider) -> Authorize:
    """`await authorize("item:read")` returns the headers of a new caller with these scopes."""

    async def headers(*scopes: str, id: str | None = None) -> dict[str, str]:  # noqa: A002
        token = identity_provider.access_token(id or uuid4().hex, scope=" ".join(scopes))
        return {"Authorization": f"Bearer {token}"}

    return headers
