"""The fixture `authorize`, whose callers have exactly the scopes that a test needs."""

from uuid import UUID

import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from app.core.models import utc_now
from app.core.users.models import UserAccount
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
