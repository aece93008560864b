"""The callers of tests, and the statements by which they are authenticated."""

from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from app.core.models import utc_now
from app.core.users.api_keys.lookup import API_KEY_LOOKUP
from app.core.users.models import UserAccount
from app.core.users.session_lookup import SESSION_LOOKUP
from app.core.users.sessions import Device, start_session
from tests.core.auth.callers import Authorize


@pytest.fixture
def authorize(app: FastAPI) -> Authorize:
    """`await authorize("item:read")` returns the headers of a caller with exactly these scopes.

    Each call creates an account with a session; `id=…` gives the caller's id.
    """

    async def create_caller(
        *scopes: str,
        id: str | None = None,  # noqa: A002
    ) -> dict[str, str]:
        role = f"test {' '.join(sorted(scopes))}"
        app.state.role_scopes.roles[role] = scopes
        user_id = uuid7() if id is None else UUID(id)
        async with app.state.session_factory.begin() as session:
            if await session.get(UserAccount, user_id) is None:
                session.add(
                    UserAccount(
                        id=user_id,
                        email=f"{user_id}@example.com",
                        email_verified_at=utc_now(),
                        roles=[role],
                    )
                )
            token = await start_session(session, user_id, Device())
        return {"Authorization": f"Bearer {token}"}

    return create_caller


@pytest.fixture
def authentication_statements(engine: AsyncEngine) -> frozenset[str]:
    """The reads by which requests find their callers, which `statement_limit` does not count."""
    lookups = (SESSION_LOOKUP.statement, API_KEY_LOOKUP.statement)
    return frozenset(str(statement.compile(dialect=engine.dialect)) for statement in lookups)
