import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import httpx2
import pyotp
import pytest

from app.core.models import utc_now
from app.core.users import confirmation, expired_rows, session_lifetimes, sessions
from app.core.users.factors import challenges, guesses, totp
from app.core.users.factors.settings import get_factor_settings
from app.core.users.models import UserAccount
from app.core.users.throttling import counts
from tests.core.users.conftest import ADA, AUTH, PASSWORD, CreateAccount
from tests.core.users.factors.authenticator import Authenticator

FACTORS = f"{AUTH}/second-factors"

SetVariables: TypeAlias = Callable[..., None]


@dataclass
class Clock:
    """The time of the application; it stands still."""

    now: datetime

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(utc_now())
    modules = (
        *(challenges, confirmation, expired_rows, guesses, session_lifetimes),
        *(sessions, counts, totp),
    )
    for module in modules:
        monkeypatch.setattr(module, "utc_now", lambda: clock.now)
    return clock


@pytest.fixture
def set_factors(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetVariables]:
    """`set_factors(second_factor="required")` sets USERS_SECOND_FACTOR."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"USERS_{name.upper()}", value)
        get_factor_settings.cache_clear()

    yield set_variables
    get_factor_settings.cache_clear()


@dataclass
class Person:
    """A person with an account, a bearer token, and maybe an app and a passkey."""

    client: httpx2.AsyncClient
    clock: Clock
    account: UserAccount
    headers: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    codes: list[str] = field(default_factory=list)
    passkey: Authenticator = field(default_factory=Authenticator)
    passkey_id: str = ""

    async def post(self, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        return await self.client.post(path, json=body, headers=self.headers)

    async def get(self, path: str) -> httpx2.Response:
        return await self.client.get(path, headers=self.headers)

    async def delete(self, path: str) -> httpx2.Response:
        return await self.client.delete(path, headers=self.headers)

    def use_token(self, response: httpx2.Response) -> None:
        self.headers = {"Authorization": f"Bearer {response.json()['token']}"}

    async def enter_password(self) -> httpx2.Response:
        body = {"email": self.account.email, "password": PASSWORD}
        return await self.client.post(f"{AUTH}/token", json=body)

    async def start_login(self) -> str:
        """Enter the password, and return the challenge that a second factor has to answer."""
        challenge: str = (await self.enter_password()).json()["challenge"]
        return challenge

    async def finish_login(self, challenge: str, **answer: Any) -> httpx2.Response:
        # Escapes surrogates, which the client's own encoder rejects.
        body = json.dumps({"challenge": challenge, **answer})
        headers = {"Content-Type": "application/json"}
        path = f"{AUTH}/second-factor/token"
        return await self.client.post(path, content=body, headers=headers)

    async def log_in(self, method: str = "") -> httpx2.Response:
        """Log in, with a second factor if a method is given, and use the token."""
        response = await self.enter_password()
        if method:
            challenge = response.json()["challenge"]
            answer = {"totp": self.code, "recovery_code": self.codes.pop, "": None}[method]
            assert answer is not None
            response = await self.finish_login(challenge, method=method, code=answer())
        assert response.status_code == 200, response.text
        self.use_token(response)
        return response

    def code(self, steps: int = 0) -> str:
        """Return the code of the app now, or some time steps later."""
        return pyotp.TOTP(self.secret).at(self.clock.now, counter_offset=steps)

    async def add_app(self, **options: Any) -> httpx2.Response:
        """Add an authenticator app, then wait for its next code."""
        self.secret = (await self.post(f"{FACTORS}/totp")).json()["secret"]
        response = await self.post(f"{FACTORS}/totp/confirm", {"code": self.code(), **options})
        assert response.status_code == 200, response.text
        self._after_adding(response)
        self.clock.forward(30)
        return response

    async def add_passkey(self, name: str = "Phone") -> httpx2.Response:
        options = (await self.post(f"{FACTORS}/passkeys/options")).json()
        body = {"credential": self.passkey.create(options), "name": name}
        response = await self.post(f"{FACTORS}/passkeys", body)
        assert response.status_code == 201, response.text
        self.passkey_id = response.json()["id"]
        self._after_adding(response)
        return response

    def _after_adding(self, response: httpx2.Response) -> None:
        self.use_token(response)
        self.codes = response.json()["recovery_codes"] or self.codes

    async def ask_for_passkey(self, challenge: str) -> dict[str, Any]:
        """Return the options for a passkey as second factor."""
        path = f"{AUTH}/second-factor/passkey-options"
        response = await self.client.post(path, json={"challenge": challenge})
        options: dict[str, Any] = response.json()
        return options


CreatePerson: TypeAlias = Callable[..., Awaitable[Person]]


@pytest.fixture
def create_person(
    client: httpx2.AsyncClient, clock: Clock, create_account: CreateAccount
) -> CreatePerson:
    """`await create_person("bob@example.com")` returns a person who has logged in."""

    async def create(email: str = ADA, **values: Any) -> Person:
        person = Person(client, clock, await create_account(email, **values))
        await person.log_in()
        return person

    return create


@pytest.fixture
async def person(create_person: CreatePerson) -> Person:
    """Ada, without a second factor."""
    return await create_person()


@pytest.fixture
async def app_user(person: Person) -> Person:
    """Ada with an authenticator app."""
    await person.add_app()
    return person


@pytest.fixture
async def passkey_user(person: Person) -> Person:
    """Ada with a passkey."""
    await person.add_passkey()
    return person
