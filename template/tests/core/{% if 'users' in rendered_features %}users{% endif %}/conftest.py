import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.core.database import Session
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.users.expired_rows import TABLES, delete_batch
from app.core.users.models import UserAccount
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.settings import get_users_settings
from tests.conftest import connect
from tests.core.jobs.fixtures import JobRunner

ADA = "ada@example.com"
PASSWORD = "violet kettle marathon"  # noqa: S105
NEW_PASSWORD = "orange ladder symphony"  # noqa: S105
CREDENTIALS = {"email": ADA, "password": PASSWORD}
AUTH = "/api/v1/auth"

CreateAccount: TypeAlias = Callable[..., Awaitable[UserAccount]]
ReadMail: TypeAlias = Callable[[], Awaitable[Mail]]
FollowLink: TypeAlias = Callable[[], Awaitable[str]]
Configure: TypeAlias = Callable[..., None]


@pytest.fixture
def authentication_statements() -> frozenset[str]:
    """None: `statement_limit` counts those, too, because these tests are about them."""
    return frozenset()


@pytest.fixture
def create_account(app: FastAPI) -> CreateAccount:
    """`await create_account(ADA, roles=["viewer"])` commits an account with PASSWORD."""

    async def create(
        email: str = ADA, password: str | None = PASSWORD, **values: Any
    ) -> UserAccount:
        password_hash = None if password is None else await get_password_hasher().hash(password)
        values = {"email_verified_at": utc_now(), "roles": [], **values}
        account = UserAccount(email=email, password_hash=password_hash, **values)
        async with app.state.session_factory.begin() as session:
            session.add(account)
        return account

    return create


@pytest.fixture
async def ada(create_account: CreateAccount) -> UserAccount:
    return await create_account()


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that keeps cookies."""
    async with connect(app, "https://test") as client:
        yield client


@pytest.fixture
async def logged_in(browser: httpx2.AsyncClient, ada: UserAccount) -> httpx2.AsyncClient:
    """A browser with a session of Ada's."""
    response = await browser.post(f"{AUTH}/login", json=CREDENTIALS)
    assert response.status_code == 200
    return browser


@pytest.fixture
def read_mail(jobs: JobRunner, mails: list[Mail]) -> ReadMail:
    """Run all jobs, and return the one mail that they sent."""

    async def read() -> Mail:
        mails.clear()
        await jobs.run()
        [mail] = mails
        return mail

    return read


@pytest.fixture
def follow_link(read_mail: ReadMail) -> FollowLink:
    """Run all jobs, and return the token of the link in the one mail that they sent."""

    async def follow() -> str:
        return link_token(await read_mail())

    return follow


def link_token(mail: Mail) -> str:
    """Return the token of the one link in a mail."""
    [token] = re.findall(r"#token=(\S+)", mail.text)
    assert f"#token={token}" in mail.html
    return str(token)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """`configure(sign_up="false")` sets `USERS_SIGN_UP`."""

    def set_variables(**variables: object) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"USERS_{name.upper()}", str(value))
        get_users_settings.cache_clear()
        get_password_hasher.cache_clear()

    yield set_variables
    get_users_settings.cache_clear()
    get_password_hasher.cache_clear()


async def load(app: FastAPI, email: str = ADA) -> UserAccount:
    """Return an account as the database has it."""
    async with app.state.session_factory() as session:
        statement = select(UserAccount).where(UserAccount.email == email)
        account: UserAccount = (await session.scalars(statement)).one()
        return account


async def delete_all_expired(session: Session) -> None:
    """Delete what has expired as the scheduled jobs do, in one transaction."""
    for table in TABLES:
        await delete_batch(session, table)


def from_address(app: FastAPI, address: str) -> httpx2.AsyncClient:
    """Return a client at a network address."""
    transport = httpx2.ASGITransport(app, client=(address, 1))
    return httpx2.AsyncClient(transport=transport, base_url="https://test")
