"""A one-time token is accepted by the operation that it is for, and by no other."""

import httpx2
import pytest
from fastapi import FastAPI

from app.core.users.one_time_tokens import Purpose, new_one_time_token, store_token
from tests.core.users.conftest import ADA, AUTH, PASSWORD, CreateAccount

OPERATIONS = {
    Purpose.SIGN_UP: "verify-email",
    Purpose.INVITATION: "accept-invitation",
    Purpose.PASSWORD_RESET: "reset-password",
    Purpose.EMAIL_CHANGE: "confirm-email",
}


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("accepted", OPERATIONS)
async def test_an_operation_accepts_only_its_own_tokens(
    client: httpx2.AsyncClient,
    app: FastAPI,
    create_account: CreateAccount,
    purpose: Purpose,
    accepted: Purpose,
) -> None:
    user_id = None
    if accepted is not Purpose.SIGN_UP:
        user_id = (await create_account(ADA, None)).id
    token = new_one_time_token(purpose)
    async with app.state.session_factory.begin() as session:
        await store_token(session, token, purpose, ADA, user_id, 60)
    body = {"token": token} | ({} if accepted is Purpose.EMAIL_CHANGE else {"password": PASSWORD})
    response = await client.post(f"{AUTH}/{OPERATIONS[accepted]}", json=body)
    assert response.status_code == (204 if purpose is accepted else 422)
