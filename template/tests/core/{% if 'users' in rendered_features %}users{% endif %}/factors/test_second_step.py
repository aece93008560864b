"""The second step of a login, and attempts to go round it."""

from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from app.core.database import SessionFactory
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.users.factors.challenges import add_challenge, use_challenge
from app.core.users.factors.second_factors import start_second_step
from app.core.users.models import UserAccount, UserChallenge, UserSession, UserThrottle
from app.core.users.throttling.limits import key_hash
from tests.conftest import StatementLimit
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    Configure,
    FollowLink,
    ReadMail,
    from_address,
)
from tests.core.users.factors.conftest import FACTORS, CreatePerson, Person

WRONG = "000000"


async def wrong_codes(person: Person, challenge: str, count: int) -> list[int]:
    codes = [f"{(int(person.code()) + number) % 1_000_000:06}" for number in range(1, count + 1)]
    return [
        (await person.finish_login(challenge, method="totp", code=code)).status_code
        for code in codes
    ]


async def test_a_login_with_a_factor_starts_no_session(
    app_user: Person, browser: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    await app_user.client.post(f"{AUTH}/logout", headers=app_user.headers)
    response = await browser.post(f"{AUTH}/login", json=CREDENTIALS)
    assert response.json()["second_factors"] == ["totp", "recovery_code"]
    assert "Set-Cookie" not in response.headers
    response = await app_user.enter_password()
    assert response.json()["token"] is None
    async with session_factory() as session:
        assert (await session.scalars(select(UserSession))).all() == []


async def test_the_second_step_sets_a_cookie(app_user: Person, browser: httpx2.AsyncClient) -> None:
    challenge = (await browser.post(f"{AUTH}/login", json=CREDENTIALS)).json()["challenge"]
    body = {"challenge": challenge, "method": "totp", "code": app_user.code()}
    response = await browser.post(f"{AUTH}/second-factor", json=body)
    assert response.status_code == 204
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Set-Cookie"].startswith("__Host-session=session_")
    assert (await browser.get(f"{AUTH}/me")).json()["email"] == ADA


async def test_the_second_step_ends_the_session_of_the_browser(
    app_user: Person, browser: httpx2.AsyncClient
) -> None:
    cookies = []
    for _ in range(2):
        app_user.clock.forward(30)
        challenge = (await browser.post(f"{AUTH}/login", json=CREDENTIALS)).json()["challenge"]
        body = {"challenge": challenge, "method": "totp", "code": app_user.code()}
        await browser.post(f"{AUTH}/second-factor", json=body)
        cookies.append(browser.cookies["__Host-session"])
    old, new = ({"Authorization": f"Bearer {token}"} for token in cookies)
    assert (await app_user.client.get(f"{AUTH}/me", headers=old)).status_code == 401
    assert (await app_user.client.get(f"{AUTH}/me", headers=new)).status_code == 200


@pytest.mark.parametrize("operation", ["second-factor", "second-factor/token"])
async def test_the_second_step_ends_the_session_of_the_bearer_token(
    app_user: Person, operation: str
) -> None:
    old = app_user.headers
    first = await app_user.post(f"{AUTH}/token", CREDENTIALS)
    # The first step alone is no login.
    assert (await app_user.get(f"{AUTH}/me")).status_code == 200
    body = {"challenge": first.json()["challenge"], "method": "totp", "code": app_user.code()}
    assert (await app_user.post(f"{AUTH}/{operation}", body)).is_success
    app_user.client.cookies.clear()
    assert (await app_user.client.get(f"{AUTH}/me", headers=old)).status_code == 401


async def test_other_sites_cannot_log_their_visitors_in(app_user: Person) -> None:
    body = {"challenge": await app_user.start_login(), "method": "totp", "code": app_user.code()}
    for path in ("second-factor", "second-factor/token", "second-factor/passkey-options"):
        response = await app_user.client.post(
            f"{AUTH}/{path}", json=body, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert response.status_code == 403


async def test_a_challenge_is_no_session(app_user: Person) -> None:
    challenge = await app_user.start_login()
    response = await app_user.client.get(
        f"{AUTH}/me", headers={"Authorization": f"Bearer {challenge}"}
    )
    assert response.status_code == 401


@pytest.mark.parametrize("path", ["verify-email", "accept-invitation", "reset-password"])
async def test_a_challenge_is_no_token_of_a_link(app_user: Person, path: str) -> None:
    body = {"token": await app_user.start_login(), "password": NEW_PASSWORD}
    assert (await app_user.client.post(f"{AUTH}/{path}", json=body)).status_code == 422


async def test_the_database_has_only_the_hash_of_a_challenge(
    app_user: Person, session_factory: SessionFactory
) -> None:
    challenge = await app_user.start_login()
    async with session_factory() as session:
        [stored] = await session.scalars(select(UserChallenge.challenge_hash))
    assert len(stored) == 64
    assert stored not in challenge


async def test_a_challenge_works_once(app_user: Person) -> None:
    challenge = await app_user.start_login()
    await app_user.finish_login(challenge, method="totp", code=app_user.code())
    app_user.clock.forward(30)
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "challenge"]


async def test_a_challenge_expires(app_user: Person) -> None:
    challenge = await app_user.start_login()
    app_user.clock.forward(301)
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 422
    response = await app_user.client.post(
        f"{AUTH}/second-factor/passkey-options", json={"challenge": challenge}
    )
    assert response.json()["errors"][0]["location"] == ["body", "challenge"]


async def test_a_challenge_has_one_purpose(session_factory: SessionFactory) -> None:
    async with session_factory.begin() as session:
        await add_challenge(session, "challenge", "one")
        assert not await use_challenge(session, "challenge", "another")
        assert await use_challenge(session, "challenge", "one")
        assert not await use_challenge(session, "challenge", "one")


@pytest.mark.parametrize("challenge", ["login_unknown", "x"])
async def test_an_unknown_challenge_is_rejected(app_user: Person, challenge: str) -> None:
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 422
    response = await app_user.client.post(
        f"{AUTH}/second-factor/passkey-options", json={"challenge": challenge}
    )
    assert response.status_code == 422


async def test_the_challenge_of_a_passkey_is_none_of_a_login(passkey_user: Person) -> None:
    options = (await passkey_user.client.post(f"{AUTH}/passkey-options")).json()
    response = await passkey_user.finish_login(
        options["challenge"], method="recovery_code", code=passkey_user.codes[0]
    )
    assert response.status_code == 422


async def test_the_factor_of_another_account_is_rejected(
    app_user: Person, create_person: CreatePerson
) -> None:
    """Mallory, who knows Ada's password, has an account with an app of her own."""
    mallory = await create_person("mallory@example.com")
    await mallory.add_app()
    await mallory.add_passkey()
    challenge = await app_user.start_login()
    options = await mallory.ask_for_passkey(await mallory.start_login())
    answers: list[dict[str, Any]] = [
        {"method": "totp", "code": mallory.code()},
        {"method": "recovery_code", "code": mallory.codes[0]},
        {"method": "passkey", "credential": mallory.passkey.get(options)},
    ]
    for answer in answers:
        assert (await app_user.finish_login(challenge, **answer)).status_code == 401


@pytest.mark.parametrize(
    "answer",
    [
        {"method": "password", "code": PASSWORD},
        {"method": "totp"},
        {"method": "passkey"},
        {"method": "passkey", "code": "123456"},
        {"method": "", "code": "123456"},
        {"code": "123456"},
        {"method": ["totp"], "code": "123456"},
        {"method": "totp", "code": None},
        {"method": "totp", "code": True},
        {"method": "totp", "code": "123456", "user_id": "1"},
        {"method": "recovery_code", "code": "\ud800" * 24},
    ],
)
async def test_answers_without_a_factor_are_invalid(
    app_user: Person, answer: dict[str, Any]
) -> None:
    challenge = await app_user.start_login()
    response = await app_user.finish_login(challenge, **answer)
    assert response.status_code == 422


@pytest.mark.parametrize("method", ["passkey", "recovery_code"])
async def test_a_method_that_the_account_lacks_is_rejected(app_user: Person, method: str) -> None:
    challenge = await app_user.start_login()
    app_user.passkey.user_handle = app_user.account.id.bytes
    credential = app_user.passkey.get({"challenge": "A" * 43})
    response = await app_user.finish_login(
        challenge, method=method, code=app_user.code(), credential=credential
    )
    assert response.status_code == 401


async def test_no_passkey_is_asked_for_if_there_is_none(app_user: Person) -> None:
    response = await app_user.client.post(
        f"{AUTH}/second-factor/passkey-options", json={"challenge": await app_user.start_login()}
    )
    assert response.status_code == 422


async def test_a_challenge_ends_after_five_wrong_answers(app_user: Person) -> None:
    challenge = await app_user.start_login()
    assert await wrong_codes(app_user, challenge, 5) == [401] * 5
    app_user.clock.forward(60)
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 422


async def test_the_owner_is_notified_of_five_wrong_codes(
    app_user: Person, jobs: JobRunner, mails: list[Mail]
) -> None:
    """Also if they are spread over several logins: another person knows the password."""
    await jobs.run()
    mails.clear()
    for _ in range(3):
        app_user.clock.forward(3600)
        await wrong_codes(app_user, await app_user.start_login(), 2)
    await jobs.run()
    [mail] = mails
    assert "Failed login" in mail.subject
    assert "password" in mail.text


async def test_after_a_hundred_wrong_codes_only_a_new_password_or_a_passkey_helps(
    app_user: Person, session_factory: SessionFactory
) -> None:
    await app_user.add_passkey()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(code_failures=99))
    challenge = await app_user.start_login()
    assert await wrong_codes(app_user, challenge, 1) == [401]
    for method, code in [("totp", app_user.code()), ("recovery_code", app_user.codes[0])]:
        response = await app_user.finish_login(challenge, method=method, code=code)
        assert response.status_code == 403
    credential = app_user.passkey.get(await app_user.ask_for_passkey(challenge))
    response = await app_user.finish_login(challenge, method="passkey", credential=credential)
    assert response.status_code == 200


@pytest.mark.parametrize("way", ["change", "reset"])
async def test_a_new_password_forgets_wrong_codes(
    app_user: Person,
    session_factory: SessionFactory,
    jobs: JobRunner,
    follow_link: FollowLink,
    way: str,
) -> None:
    await jobs.run()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(code_failures=100))
    if way == "change":
        body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
        await app_user.post(f"{AUTH}/change-password", body)
    else:
        await app_user.client.post(f"{AUTH}/forgot-password", json={"email": ADA})
        body = {"token": await follow_link(), "password": NEW_PASSWORD}
        await app_user.client.post(f"{AUTH}/reset-password", json=body)
    new = {"email": ADA, "password": NEW_PASSWORD}
    challenge = (await app_user.client.post(f"{AUTH}/token", json=new)).json()["challenge"]
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 200


async def test_a_right_code_forgets_wrong_ones(
    app_user: Person, session_factory: SessionFactory
) -> None:
    challenge = await app_user.start_login()
    await wrong_codes(app_user, challenge, 2)
    await app_user.finish_login(challenge, method="totp", code=app_user.code())
    async with session_factory() as session:
        assert await session.scalar(select(UserAccount.code_failures)) == 0


async def test_new_challenges_do_not_outrun_the_limit_of_an_account(app_user: Person) -> None:
    statuses: list[int] = []
    for _ in range(3):
        statuses += await wrong_codes(app_user, await app_user.start_login(), 3)
    assert statuses == [401] * 5 + [429] * 4


async def test_throttled_answers_do_not_use_up_the_challenge(app_user: Person) -> None:
    await wrong_codes(app_user, await app_user.start_login(), 4)
    challenge = await app_user.start_login()
    assert await wrong_codes(app_user, challenge, 5) == [401] + [429] * 4
    app_user.clock.forward(60)
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 200


async def test_waiting_times_grow(app_user: Person) -> None:
    waits = []
    for _ in range(3):
        challenge = await app_user.start_login()
        for _ in range(4):
            response = await app_user.finish_login(challenge, method="totp", code=WRONG)
            if wait := int(response.headers.get("Retry-After", 0)):
                waits.append(wait)
                app_user.clock.forward(wait)
    assert waits == sorted(waits)
    assert waits[-1] >= 4


async def test_a_right_code_forgives_wrong_ones(app_user: Person) -> None:
    for _ in range(3):
        challenge = await app_user.start_login()
        assert await wrong_codes(app_user, challenge, 3) == [401] * 3
        response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
        assert response.status_code == 200
        app_user.clock.forward(30)


async def test_guesses_of_the_password_do_not_delay_the_second_step(
    app_user: Person, app: FastAPI
) -> None:
    challenge = await app_user.start_login()
    async with from_address(app, "192.0.2.1") as stranger:
        wrong = {"email": ADA, "password": "wrong"}
        statuses = [
            (await stranger.post(f"{AUTH}/login", json=wrong)).status_code for _ in range(10)
        ]
    assert statuses[-1] == 429
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 200


async def test_abandoned_second_steps_do_not_delay_the_password(app_user: Person) -> None:
    statuses = [(await app_user.enter_password()).status_code for _ in range(8)]
    assert statuses == [200] * 8


async def test_abandoned_second_steps_do_not_forgive_wrong_passwords_of_the_address(
    app_user: Person, configure: Configure
) -> None:
    configure(login_attempts_by_address=3)
    statuses = []
    for number in range(4):
        wrong = {"email": f"{number}@example.com", "password": "wrong"}
        response = await app_user.client.post(f"{AUTH}/login", json=wrong)
        statuses += [response.status_code, (await app_user.enter_password()).status_code]
    assert statuses == [401, 200, 401, 200, 401, 429, 429, 429]


async def test_second_steps_of_logins_with_providers_forgive_no_passwords(
    app_user: Person, session_factory: SessionFactory, configure: Configure
) -> None:
    configure(login_attempts=3, login_attempts_by_address=3)
    wrong = {"email": app_user.account.email, "password": "wrong"}
    for _ in range(3):
        await app_user.client.post(f"{AUTH}/login", json=wrong)

    async def counts() -> list[tuple[float, datetime]]:
        names = [f"login as {app_user.account.email}", "login from 127.0.0.1"]
        keys = UserThrottle.key_hash.in_([key_hash(name) for name in names])
        async with session_factory() as session:
            rows = await session.scalars(select(UserThrottle).where(keys))
            return sorted((row.attempts, row.retry_at) for row in rows)

    before = await counts()
    assert [attempts for attempts, _ in before] == [3, 3]
    async with session_factory.begin() as session:
        account = await session.get_one(UserAccount, app_user.account.id)
        challenge = await start_second_step(session, account, ["provider"], app_user.clock.now)
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 200
    assert await counts() == before


async def test_wrong_and_right_codes_do_not_change_the_representation_of_the_account(
    app_user: Person, authorize: Authorize
) -> None:
    administrator = await authorize("user:read")
    path = f"/api/v1/users/{app_user.account.id}"

    async def read() -> tuple[str, dict[str, Any]]:
        response = await app_user.client.get(path, headers=administrator)
        return response.headers["ETag"], response.json()

    before = await read()
    challenge = await app_user.start_login()
    assert await wrong_codes(app_user, challenge, 2) == [401] * 2
    assert await read() == before
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 200
    assert await read() == before


async def test_the_steps_of_a_login_need_few_statements(
    app_user: Person, statement_limit: StatementLimit
) -> None:
    with statement_limit(10):
        challenge = await app_user.start_login()
    # 16 on servers with RETURNING, which MySQL lacks.
    with statement_limit(17):
        response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 200


async def test_options_for_a_passkey_need_few_statements(
    passkey_user: Person, statement_limit: StatementLimit
) -> None:
    challenge = await passkey_user.start_login()
    with statement_limit(5):
        options = await passkey_user.ask_for_passkey(challenge)
    assert len(options["allowCredentials"]) == 1


async def test_wrong_codes_do_not_delay_the_passkey(app_user: Person) -> None:
    await app_user.add_passkey()
    await wrong_codes(app_user, await app_user.start_login(), 5)
    challenge = await app_user.start_login()
    assert await wrong_codes(app_user, challenge, 1) == [429]
    credential = app_user.passkey.get(await app_user.ask_for_passkey(challenge))
    response = await app_user.finish_login(challenge, method="passkey", credential=credential)
    assert response.status_code == 200


async def test_a_password_reset_neither_logs_in_nor_removes_factors(
    app_user: Person, follow_link: FollowLink, read_mail: ReadMail
) -> None:
    await read_mail()
    challenge = await app_user.start_login()
    await app_user.client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    body = {"token": await follow_link(), "password": NEW_PASSWORD}
    response = await app_user.client.post(f"{AUTH}/reset-password", json=body)
    assert response.status_code == 204
    assert "Set-Cookie" not in response.headers
    # Half-finished logins with the old password have ended.
    old = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert old.status_code == 422
    new = {"email": ADA, "password": NEW_PASSWORD}
    login = (await app_user.client.post(f"{AUTH}/token", json=new)).json()
    assert login["token"] is None
    assert login["second_factors"] == ["totp", "recovery_code"]


async def test_a_password_change_ends_half_finished_logins(app_user: Person) -> None:
    challenge = await app_user.start_login()
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert (await app_user.post(f"{AUTH}/change-password", body)).status_code == 200
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 422


async def test_deactivation_ends_half_finished_logins(
    app_user: Person, session_factory: SessionFactory
) -> None:
    challenge = await app_user.start_login()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code in {401, 422}


async def test_codes_and_challenges_are_not_logged(
    app_user: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    challenge = await app_user.start_login()
    code, recovery_code = app_user.code(), app_user.codes[0]
    await app_user.finish_login(challenge, method="totp", code=code)
    challenge = await app_user.start_login()
    await app_user.finish_login(challenge, method="recovery_code", code=recovery_code)
    logged = capsys.readouterr().out
    assert "recovery code used" in logged
    for secret in (challenge, recovery_code, app_user.secret):
        assert secret not in logged


async def test_invalid_answers_are_not_echoed(app_user: Person) -> None:
    response = await app_user.finish_login("c" * 300, method="totp", code="s" * 70)
    assert response.status_code == 422
    assert "ccc" not in response.text
    assert "sss" not in response.text


async def test_a_first_step_that_is_long_ago_makes_no_recent_login(
    app_user: Person, session_factory: SessionFactory
) -> None:
    """Such as that of a provider whose user has been logged in for days."""
    days_ago = app_user.clock.now - timedelta(days=3)
    async with session_factory.begin() as session:
        account = await session.get_one(UserAccount, app_user.account.id)
        challenge = await start_second_step(session, account, ["provider"], days_ago)
    app_user.use_token(await app_user.finish_login(challenge, method="totp", code=app_user.code()))
    assert (await app_user.get(f"{AUTH}/me")).status_code == 200
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 403
