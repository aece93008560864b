"""Login with a passkey alone."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.users.models import UserAccount, UserSession
from tests.core.users.conftest import ADA, AUTH, from_address
from tests.core.users.factors.authenticator import DOMAIN
from tests.core.users.factors.conftest import FACTORS, Clock, CreatePerson, Person
from tests.core.users.factors.test_passkeys import WRONG


async def options_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    options: dict[str, Any] = (await client.post(f"{AUTH}/passkey-options")).json()
    return options


async def log_in(person: Person, **options: Any) -> httpx2.Response:
    credential = person.passkey.get(await options_of(person.client), **options)
    return await send(person, credential)


async def send(person: Person, credential: dict[str, Any]) -> httpx2.Response:
    return await person.client.post(f"{AUTH}/passkey-login/token", json={"credential": credential})


async def test_options_name_no_account(client: httpx2.AsyncClient, passkey_user: Person) -> None:
    options = await options_of(client)
    assert options["rpId"] == DOMAIN
    assert options["allowCredentials"] == []
    assert options["userVerification"] == "required"


async def test_a_passkey_alone_logs_in_with_two_factors(passkey_user: Person) -> None:
    response = await log_in(passkey_user)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    passkey_user.use_token(response)
    # As only a login with a second factor may.
    assert (await passkey_user.post(f"{FACTORS}/recovery-codes")).status_code == 201


async def test_a_browser_gets_a_cookie(browser: httpx2.AsyncClient, passkey_user: Person) -> None:
    credential = passkey_user.passkey.get(await options_of(browser))
    response = await browser.post(f"{AUTH}/passkey-login", json={"credential": credential})
    assert response.status_code == 204
    assert response.headers["Set-Cookie"].startswith("__Host-session=session_")
    assert (await browser.get(f"{AUTH}/me")).json()["email"] == ADA


@pytest.mark.parametrize("operation", ["passkey-login", "passkey-login/token"])
async def test_a_passkey_login_ends_the_session_of_the_bearer_token(
    passkey_user: Person, operation: str
) -> None:
    old = passkey_user.headers
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    response = await passkey_user.post(f"{AUTH}/{operation}", {"credential": credential})
    assert response.is_success, response.text
    passkey_user.client.cookies.clear()
    assert (await passkey_user.client.get(f"{AUTH}/me", headers=old)).status_code == 401


async def test_a_passkey_login_ends_the_session_of_the_cookie(
    browser: httpx2.AsyncClient, passkey_user: Person, session_factory: SessionFactory
) -> None:
    for _ in range(2):
        credential = passkey_user.passkey.get(await options_of(browser))
        await browser.post(f"{AUTH}/passkey-login", json={"credential": credential})
    async with session_factory() as session:
        # That of the person, and the last one of the browser.
        assert await session.scalar(select(func.count()).select_from(UserSession)) == 2


async def test_other_sites_cannot_log_their_visitors_in(passkey_user: Person) -> None:
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    response = await passkey_user.client.post(
        f"{AUTH}/passkey-login",
        json={"credential": credential},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert response.status_code == 403


async def test_the_passkey_has_to_verify_its_user(passkey_user: Person) -> None:
    passkey_user.passkey.verifies_user = False
    assert (await log_in(passkey_user)).status_code == 401


@pytest.mark.parametrize("reason", WRONG)
async def test_what_must_not_log_in(passkey_user: Person, reason: str) -> None:
    WRONG[reason](passkey_user.passkey)
    assert (await log_in(passkey_user)).status_code == 401


async def test_a_user_handle_is_required(passkey_user: Person) -> None:
    assert (await log_in(passkey_user, user_handle=False)).status_code == 401


async def test_the_user_handle_of_another_account_is_rejected(
    passkey_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    passkey_user.passkey.user_handle = other.account.id.bytes
    assert (await log_in(passkey_user)).status_code == 401


async def test_an_unknown_passkey_is_rejected(person: Person) -> None:
    person.passkey.user_handle = person.account.id.bytes
    assert (await log_in(person)).status_code == 401


async def test_a_removed_passkey_is_rejected(passkey_user: Person) -> None:
    await passkey_user.delete(f"{FACTORS}/passkeys/{passkey_user.passkey_id}")
    assert (await log_in(passkey_user)).status_code == 401


async def test_an_assertion_is_not_replayed(passkey_user: Person) -> None:
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    statuses = [(await send(passkey_user, credential)).status_code for _ in range(2)]
    assert statuses == [200, 401]


@pytest.mark.parametrize("field", ["id", "rawId"])
async def test_ids_that_are_not_base64_are_invalid(passkey_user: Person, field: str) -> None:
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    # No Base64 has this length.
    response = await send(passkey_user, {**credential, field: "A"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "credential", field]


@pytest.mark.parametrize(
    "field", ["clientDataJSON", "authenticatorData", "signature", "userHandle"]
)
async def test_data_that_is_not_base64_is_invalid(passkey_user: Person, field: str) -> None:
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    wrong = {**credential, "response": {**credential["response"], field: "AAAAA"}}
    challenge = await passkey_user.start_login()
    responses = [
        await send(passkey_user, wrong),
        await passkey_user.finish_login(challenge, method="passkey", credential=wrong),
    ]
    for response in responses:
        assert response.status_code == 422
        [error] = response.json()["errors"]
        assert error["location"] == ["body", "credential", "response", field]


async def test_a_failed_answer_leaves_the_challenge_valid(passkey_user: Person) -> None:
    """Nobody can guess a signature."""
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    wrong = {**credential, "response": {**credential["response"], "signature": "AAAA"}}
    statuses = [
        (await send(passkey_user, answer)).status_code for answer in (wrong, wrong, credential)
    ]
    assert statuses == [401, 401, 200]


async def test_a_challenge_expires(passkey_user: Person) -> None:
    credential = passkey_user.passkey.get(await options_of(passkey_user.client))
    passkey_user.clock.forward(301)
    assert (await send(passkey_user, credential)).status_code == 401


async def test_a_challenge_that_the_application_did_not_issue_is_rejected(
    passkey_user: Person,
) -> None:
    options = {**await options_of(passkey_user.client), "challenge": "A" * 43}
    assert (await send(passkey_user, passkey_user.passkey.get(options))).status_code == 401


async def test_the_challenge_of_a_second_step_is_rejected(passkey_user: Person) -> None:
    options = await passkey_user.ask_for_passkey(await passkey_user.start_login())
    assert (await send(passkey_user, passkey_user.passkey.get(options))).status_code == 401


async def test_a_deactivated_account_does_not_log_in(
    passkey_user: Person, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
    assert (await log_in(passkey_user)).status_code == 401


async def test_an_account_without_a_password_logs_in(
    passkey_user: Person, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(password_hash=None))
    assert (await log_in(passkey_user)).status_code == 200


async def test_challenges_are_limited_by_address(
    client: httpx2.AsyncClient, app: FastAPI, clock: Clock
) -> None:
    statuses = [(await client.post(f"{AUTH}/passkey-options")).status_code for _ in range(202)]
    assert statuses == [200] * 200 + [429] * 2
    async with from_address(app, "192.0.2.1") as other:
        assert (await other.post(f"{AUTH}/passkey-options")).status_code == 200
    for _ in range(5):
        clock.forward(3)
        statuses = [(await client.post(f"{AUTH}/passkey-options")).status_code for _ in range(2)]
        assert statuses == [200, 429]
    response = await client.post(f"{AUTH}/passkey-options")
    assert response.headers["Retry-After"] == "3"


async def test_challenges_of_second_steps_are_limited_by_address(passkey_user: Person) -> None:
    body = {"challenge": await passkey_user.start_login()}
    path = f"{AUTH}/second-factor/passkey-options"
    statuses = [(await passkey_user.client.post(path, json=body)).status_code for _ in range(201)]
    assert statuses == [200] * 200 + [429]
