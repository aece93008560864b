"""Concurrent requests, each on a connection of its own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.users.accounts import lock_account
from app.core.users.models import (
    UserAccount,
    UserChallenge,
    UserPasskey,
    UserRecoveryCode,
    UserSession,
    UserThrottle,
    UserTOTP,
)
from tests.core.users.conftest import AUTH
from tests.core.users.factors.authenticator import Authenticator
from tests.core.users.factors.conftest import FACTORS, Person, SetVariables

MODELS = [UserChallenge, UserAccount, UserThrottle, QueuedJob]


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in MODELS:
            await session.execute(delete(model))


async def statuses(*requests: Any) -> list[int]:
    responses = await asyncio.gather(*requests)
    return sorted(response.status_code for response in responses)


async def count(sessions: SessionFactory, model: Any) -> int | None:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def test_of_parallel_logins_with_one_code_one_wins(
    app_user: Person, session_factory: SessionFactory
) -> None:
    before = await count(session_factory, UserSession)
    challenges = [await app_user.start_login() for _ in range(4)]
    answer = {"method": "totp", "code": app_user.code()}
    found = await statuses(*(app_user.finish_login(one, **answer) for one in challenges))
    assert found == [200, 401, 401, 401]
    assert await count(session_factory, UserSession) == (before or 0) + 1


async def test_of_parallel_logins_with_one_recovery_code_one_wins(
    app_user: Person, session_factory: SessionFactory
) -> None:
    challenges = [await app_user.start_login() for _ in range(4)]
    answer = {"method": "recovery_code", "code": app_user.codes[0]}
    found = await statuses(*(app_user.finish_login(one, **answer) for one in challenges))
    assert found == [200, 401, 401, 401]
    assert await count(session_factory, UserRecoveryCode) == 9


async def test_of_parallel_answers_to_one_challenge_one_wins(app_user: Person) -> None:
    challenge = await app_user.start_login()
    codes = app_user.codes[:4]
    found = await statuses(
        *(app_user.finish_login(challenge, method="recovery_code", code=code) for code in codes)
    )
    assert found == [200, 422, 422, 422]
    # Those of the losers are not used up.
    assert (await app_user.get(FACTORS)).json()["recovery_codes_left"] == 9


async def test_of_parallel_replays_of_an_assertion_one_wins(passkey_user: Person) -> None:
    challenges = [await passkey_user.start_login() for _ in range(4)]
    credential = passkey_user.passkey.get(await passkey_user.ask_for_passkey(challenges[0]))
    answer = {"method": "passkey", "credential": credential}
    found = await statuses(*(passkey_user.finish_login(one, **answer) for one in challenges))
    assert found == [200, 401, 401, 401]


async def test_of_parallel_logins_with_a_passkey_one_wins(
    passkey_user: Person, client: httpx2.AsyncClient
) -> None:
    options = (await client.post(f"{AUTH}/passkey-options")).json()
    body = {"credential": passkey_user.passkey.get(options)}
    path = f"{AUTH}/passkey-login/token"
    found = await statuses(*(client.post(path, json=body) for _ in range(4)))
    assert found == [200, 401, 401, 401]


async def test_of_parallel_answers_to_a_registration_one_wins(
    person: Person, session_factory: SessionFactory
) -> None:
    options = (await person.post(f"{FACTORS}/passkeys/options")).json()
    bodies = [{"credential": Authenticator().create(options), "name": "Phone"} for _ in range(4)]
    found = await statuses(*(person.post(f"{FACTORS}/passkeys", body) for body in bodies))
    # The others find their session replaced.
    assert found[0] == 201
    assert {*found[1:]} <= {401, 422}
    assert await count(session_factory, UserPasskey) == 1


async def test_parallel_guesses_cannot_outrun_the_counters(app_user: Person) -> None:
    challenges = [await app_user.start_login() for _ in range(4)]
    wrong = f"{(int(app_user.code()) + 1) % 1_000_000:06}"
    found = await statuses(
        *(
            app_user.finish_login(challenge, method="totp", code=wrong)
            for challenge in challenges
            for _ in range(5)
        )
    )
    assert found == [401] * 5 + [429] * 15


async def test_wrong_codes_survive_the_rollback_of_their_requests(
    app_user: Person, session_factory: SessionFactory
) -> None:
    challenge = await app_user.start_login()
    await app_user.finish_login(challenge, method="recovery_code", code="wrong code")
    async with session_factory() as session:
        assert await session.scalar(select(UserChallenge.attempts)) == 1


async def test_of_parallel_confirmations_one_wins(person: Person) -> None:
    person.secret = (await person.post(f"{FACTORS}/totp")).json()["secret"]
    body = {"code": person.code()}
    found = await statuses(*(person.post(f"{FACTORS}/totp/confirm", body) for _ in range(4)))
    assert found[0] == 200
    # The session of the others is replaced, or has not proved the new app.
    assert {*found[1:]} <= {401, 403, 422}


async def test_parallel_removals_leave_a_required_factor(
    app_user: Person, set_factors: SetVariables
) -> None:
    await app_user.add_passkey()
    set_factors(second_factor="required")
    found = await statuses(
        app_user.delete(f"{FACTORS}/totp"),
        app_user.delete(f"{FACTORS}/passkeys/{app_user.passkey_id}"),
    )
    assert found == [204, 409]
    assert len((await app_user.enter_password()).json()["second_factors"]) == 2


async def test_a_session_that_ends_meanwhile_changes_nothing(
    app_user: Person, session_factory: SessionFactory
) -> None:
    """A request that was authenticated before its session ended, and waited for a lock."""
    async with session_factory.begin() as session:
        await lock_account(session, app_user.account.id)
        request = asyncio.create_task(app_user.delete(f"{FACTORS}/totp"))
        await asyncio.sleep(0.5)
        await session.execute(delete(UserSession))
    assert (await request).status_code == 401
    assert await count(session_factory, UserTOTP) == 1


async def test_guesses_of_the_code_that_confirms_an_app_are_throttled(person: Person) -> None:
    person.secret = (await person.post(f"{FACTORS}/totp")).json()["secret"]
    body = {"code": f"{(int(person.code()) + 1) % 1_000_000:06}"}
    found = [(await person.post(f"{FACTORS}/totp/confirm", body)).status_code for _ in range(7)]
    assert found == [422] * 5 + [429] * 2


@pytest.mark.parametrize("reason", ["old login", "no factor"])
async def test_callers_who_may_not_confirm_an_app_do_not_delay_the_second_step(
    app_user: Person, session_factory: SessionFactory, reason: str
) -> None:
    if reason == "old login":
        app_user.clock.forward(601)
    else:
        async with session_factory.begin() as session:
            await session.execute(update(UserSession).values(methods="password"))
    body = {"code": "000000"}
    statuses = [
        (await app_user.post(f"{FACTORS}/totp/confirm", body)).status_code for _ in range(7)
    ]
    assert statuses == [403] * 7
    await app_user.log_in("totp")
