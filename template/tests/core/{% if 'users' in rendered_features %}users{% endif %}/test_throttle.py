"""Attempts are counted before they are made; waits grow, and end by themselves."""

from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.users.models import UserAccount, UserThrottle
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.throttling.limits import Limit, throttled_address
from app.core.users.throttling.throttle import (
    TooManyRequestsError,
)
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    Configure,
    FollowLink,
    delete_all_expired,
    from_address,
)

# Longer than any test.
WAIT = 60
LIMIT = Limit(free=5, first_wait=1, max_wait=900, recovery=900)


@pytest.fixture(autouse=True)
def _long_waits(configure: Configure) -> None:
    configure(login_wait=WAIT)


async def log_in(
    client: httpx2.AsyncClient,
    email: str = ADA,
    password: str = "wrong",  # noqa: S107
) -> httpx2.Response:
    return await client.post(f"{AUTH}/login", json={"email": email, "password": password})


async def let_pass(sessions: SessionFactory, seconds: float) -> None:
    """Make all attempts older."""
    async with sessions.begin() as session:
        for row in await session.scalars(select(UserThrottle)):
            row.retry_at -= timedelta(seconds=seconds)
            row.updated_at -= timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 0), (4, 0), (4.1, 1), (5, 1), (6, 2), (10, 32), (15, 900), (10**6, 900)],
)
def test_waits_double_up_to_a_maximum(attempts: float, seconds: float) -> None:
    assert LIMIT.wait(attempts) == timedelta(seconds=seconds)


def test_attempts_are_forgotten_one_after_the_other() -> None:
    assert LIMIT.remaining(5, timedelta(seconds=900)) == 4
    assert LIMIT.remaining(5, timedelta(days=1)) == 0
    # A clock that went back.
    assert LIMIT.remaining(5, timedelta(seconds=-900)) == 5


@pytest.mark.parametrize(
    ("address", "throttled"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        (None, "unknown"),
    ],
)
def test_ipv6_addresses_are_throttled_by_network(address: str | None, throttled: str) -> None:
    assert throttled_address(address) == throttled


async def test_failed_logins_make_the_next_one_wait(
    client: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    for _ in range(5):
        assert (await log_in(client)).status_code == 401
    response = await log_in(client)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == str(WAIT)
    assert response.headers["content-type"] == "application/problem+json"
    # The right password has to wait, too: otherwise attackers would learn that it is right.
    assert (await log_in(client, **CREDENTIALS)).status_code == 429
    await let_pass(session_factory, WAIT)
    assert (await log_in(client)).status_code == 401
    assert (await log_in(client)).headers["Retry-After"] == str(2 * WAIT)


async def test_waiting_attempts_do_not_make_the_wait_longer(
    client: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    for _ in range(20):
        response = await log_in(client)
    assert int(response.headers["Retry-After"]) <= WAIT
    await let_pass(session_factory, WAIT)
    assert (await log_in(client, **CREDENTIALS)).status_code == 200


async def test_an_account_is_throttled_from_all_addresses(app: FastAPI, ada: UserAccount) -> None:
    statuses = []
    for number in range(7):
        async with from_address(app, f"192.0.2.{number}") as client:
            statuses.append((await log_in(client)).status_code)
    assert statuses == [401] * 5 + [429] * 2


async def test_unknown_accounts_are_throttled_as_known_ones(
    client: httpx2.AsyncClient, ada: UserAccount
) -> None:
    for email in (ADA, "unknown@example.com"):
        responses = [await log_in(client, email) for _ in range(7)]
        assert [r.status_code for r in responses] == [401] * 5 + [429] * 2


async def test_an_address_is_throttled_for_all_accounts(
    app: FastAPI, ada: UserAccount, configure: Configure
) -> None:
    configure(login_attempts_by_address=3)
    async with from_address(app, "2001:db8::1") as client:
        for number in range(3):
            assert (await log_in(client, f"{number}@example.com")).status_code == 401
        assert (await log_in(client, **CREDENTIALS)).status_code == 429
    async with from_address(app, "2001:db8::2") as neighbour:
        assert (await log_in(neighbour, **CREDENTIALS)).status_code == 429
    async with from_address(app, "2001:db8:0:1::1") as stranger:
        assert (await log_in(stranger, **CREDENTIALS)).status_code == 200


async def test_success_forgives_the_failures_of_the_account(
    client: httpx2.AsyncClient, ada: UserAccount
) -> None:
    for _ in range(3):
        for _ in range(4):
            assert (await log_in(client)).status_code == 401
        assert (await log_in(client, **CREDENTIALS)).status_code == 200


async def test_success_does_not_forgive_the_failures_of_the_address(
    client: httpx2.AsyncClient, ada: UserAccount, configure: Configure
) -> None:
    configure(login_attempts_by_address=4)
    statuses = []
    for number in range(4):
        statuses.append((await log_in(client, f"{number}@example.com")).status_code)
        statuses.append((await log_in(client, **CREDENTIALS)).status_code)
    assert statuses == [401, 200, 401, 200, 401, 200, 401, 429]


async def test_many_people_behind_one_address_can_log_in(
    client: httpx2.AsyncClient, ada: UserAccount, configure: Configure
) -> None:
    configure(login_attempts_by_address=2)
    for _ in range(10):
        assert (await log_in(client, **CREDENTIALS)).status_code == 200


async def test_a_password_reset_ends_the_wait(
    client: httpx2.AsyncClient, ada: UserAccount, follow_link: FollowLink
) -> None:
    for _ in range(6):
        response = await log_in(client)
    assert response.status_code == 429
    await client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    body = {"token": await follow_link(), "password": NEW_PASSWORD}
    assert (await client.post(f"{AUTH}/reset-password", json=body)).status_code == 204
    assert (await log_in(client, password=NEW_PASSWORD)).status_code == 200


async def test_after_a_reset_nobody_else_delays_logins_from_its_address(
    app: FastAPI, ada: UserAccount, follow_link: FollowLink, session_factory: SessionFactory
) -> None:
    async with from_address(app, "192.0.2.1") as owner, from_address(app, "192.0.2.2") as stranger:
        await owner.post(f"{AUTH}/forgot-password", json={"email": ADA})
        body = {"token": await follow_link(), "password": NEW_PASSWORD}
        assert (await owner.post(f"{AUTH}/reset-password", json=body)).status_code == 204
        statuses = [(await log_in(stranger)).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        for _ in range(2):
            assert (await log_in(owner, password=NEW_PASSWORD)).status_code == 200
        # The owner's success forgives only the owner.
        assert (await log_in(stranger)).status_code == 429
        statuses = [(await log_in(owner)).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        async with session_factory.begin() as session:
            old = utc_now() - timedelta(days=2)
            await session.execute(update(UserThrottle).values(updated_at=old, retry_at=old))
            await delete_all_expired(session)
        for _ in range(5):
            assert (await log_in(stranger)).status_code == 401
        assert (await log_in(owner, password=NEW_PASSWORD)).status_code == 429


async def test_mails_to_an_address_are_limited_by_purpose(
    logged_in: httpx2.AsyncClient, app: FastAPI
) -> None:
    """Sign-ups with the address of another person do not use up their resets."""
    async with from_address(app, "192.0.2.1") as stranger:
        statuses = [
            (await stranger.post(f"{AUTH}/{operation}", json={"email": ADA})).status_code
            for operation in ("sign-up", "forgot-password")
            for _ in range(4)
        ]
    assert statuses == ([202] * 3 + [429]) * 2
    response = await logged_in.post(f"{AUTH}/change-email", json={"email": ADA})
    assert response.status_code == 202


@pytest.mark.parametrize("operation", ["sign-up", "forgot-password"])
@pytest.mark.parametrize("email", [ADA, "unknown@example.com"])
async def test_mails_to_an_address_are_limited(
    client: httpx2.AsyncClient, ada: UserAccount, operation: str, email: str
) -> None:
    statuses = [
        (await client.post(f"{AUTH}/{operation}", json={"email": email})).status_code
        for _ in range(5)
    ]
    assert statuses == [202, 202, 202, 429, 429]


async def test_mails_that_one_client_requests_are_limited(
    client: httpx2.AsyncClient, configure: Configure
) -> None:
    configure(mails_by_address=2)
    statuses = [
        (await client.post(f"{AUTH}/sign-up", json={"email": f"{n}@example.com"})).status_code
        for n in range(3)
    ]
    assert statuses == [202, 202, 429]


async def test_the_table_has_no_addresses(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    await log_in(client)
    async with session_factory() as session:
        keys = [*await session.scalars(select(UserThrottle.key_hash))]
    assert all(len(key) == 64 and "@" not in key for key in keys)


async def test_counts_that_are_forgotten_are_deleted(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    await log_in(client)
    async with session_factory.begin() as session:
        await session.execute(
            update(UserThrottle)
            .where(UserThrottle.attempts == 1)
            .values(updated_at=utc_now() - timedelta(days=2))
        )
    await log_in(client, "other@example.com")
    async with session_factory.begin() as session:
        before = await session.scalar(select(func.count()).select_from(UserThrottle))
        await delete_all_expired(session)
        after = await session.scalar(select(func.count()).select_from(UserThrottle))
    assert (before, after) == (3, 2)


async def test_attempts_that_have_to_wait_cost_no_password_hash(
    client: httpx2.AsyncClient, session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await log_in(client)
    monkeypatch.setattr(get_password_hasher(), "verify", None)
    assert (await log_in(client)).status_code == 429


def test_the_error_names_at_least_one_second() -> None:
    assert TooManyRequestsError(0.01).headers == {"Retry-After": "1"}
