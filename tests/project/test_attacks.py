"""Attacks on accounts by strangers: guesses, stolen links, planted sessions, secrets in logs."""

import hashlib
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.support.accounts import (
    ATTEMPTS,
    ATTEMPTS_BY_ADDRESS,
    AUTH,
    COOKIE,
    NEW_PASSWORD,
    PASSWORD,
    TIMEOUT,
    Accounts,
    credentials,
    in_parallel,
    new_client,
    new_email,
)

WRONG = "wrong wrong wrong wrong"
# Of requests in parallel.
GUESSES = 30
USES = 10
# Logins of each kind whose times are compared.
SAMPLES = 25
# Without a hash that is verified for unknown accounts, logins to these take less than half.
MAX_RATIO = 1.5
EVENTS = (
    *("login", "login failed", "password reset", "API key created", "authentication failed"),
    *("second factor failed", "recovery code used"),
)


def shape(response: requests.Response) -> tuple[object, ...]:
    """Return what a stranger sees of a response, without what differs each time."""
    varying = {"date", "x-request-id", "server-timing"}
    headers = {
        name.lower(): value
        for name, value in response.headers.items()
        if name.lower() not in varying
    }
    body = response.json() if response.content else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    return response.status_code, headers, body


@pytest.mark.parametrize("operation", ["sign-up", "forgot-password", "login", "token"])
def test_responses_do_not_tell_who_has_an_account(accounts: Accounts, operation: str) -> None:
    body = {"password": WRONG} if operation in {"login", "token"} else {}
    shapes = [
        shape(accounts.post(f"{AUTH}/{operation}", {"email": email} | body))
        for email in (accounts.create(), new_email())
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0][0] in {202, 401}


def test_durations_do_not_tell_who_has_an_account(accounts: Accounts) -> None:
    def measure(email: str) -> float:
        start = time.perf_counter()
        response = accounts.post(f"{AUTH}/login", credentials(email, WRONG))
        assert response.status_code == 401
        return time.perf_counter() - start

    known = [accounts.create() for _ in range(1 + SAMPLES // (ATTEMPTS - 1))]
    durations: dict[bool, list[float]] = {True: [], False: []}
    for number in range(SAMPLES):
        durations[True].append(measure(known[number // (ATTEMPTS - 1)]))
        durations[False].append(measure(new_email()))
    medians = [statistics.median(found) for found in durations.values()]
    assert max(medians) / min(medians) < MAX_RATIO


def count_attempts(accounts: Accounts, key: str) -> float:
    """Return the attempts that the database has of an account or an address."""
    hashed = hashlib.sha256(key.encode()).hexdigest()
    statement = f"SELECT attempts FROM user_throttle WHERE key_hash = '{hashed}'"
    [[attempts]] = accounts.made.sql(accounts.url, statement)
    return float(attempts)


def count_statuses(responses: list[requests.Response]) -> dict[int, int]:
    """Count the responses of each status; those that have to wait say for how long."""
    for response in responses:
        assert ("Retry-After" in response.headers) == (response.status_code == 429)
    return Counter(response.status_code for response in responses)


def test_parallel_guesses_of_an_account_are_counted(accounts: Accounts) -> None:
    email = accounts.create()
    session = accounts.log_in(email)
    operations = ("login", "token")

    def guess(number: int) -> requests.Response:
        operation = operations[number % len(operations)]
        return accounts.post(f"{AUTH}/{operation}", credentials(email, f"{WRONG} {number}"))

    statuses = count_statuses(in_parallel(GUESSES, guess))
    assert statuses == {401: ATTEMPTS, 429: GUESSES - ATTEMPTS}
    # The transactions of the requests were rolled back, and those of the counter were not.
    assert ATTEMPTS - 0.5 < count_attempts(accounts, f"login as {email}") <= ATTEMPTS
    # Not even the right password is checked, in any spelling of the address.
    for spelling in (email, email.upper()):
        assert accounts.post(f"{AUTH}/token", credentials(spelling)).status_code == 429
    assert accounts.is_logged_in(session)
    # The owner need not wait.
    token = accounts.ask_for_token("forgot-password", email)
    accounts.expect(204, "reset-password", {"token": token, "password": NEW_PASSWORD})
    assert accounts.log_in(email, NEW_PASSWORD)


def test_parallel_guesses_of_the_current_password_are_counted(accounts: Accounts) -> None:
    email = accounts.create()
    session = accounts.log_in(email)

    def guess(number: int) -> requests.Response:
        body = {"current_password": f"{WRONG} {number}", "password": NEW_PASSWORD}
        return accounts.post(f"{AUTH}/change-password", body, token=session)

    statuses = count_statuses(in_parallel(GUESSES, guess))
    assert statuses == {403: ATTEMPTS, 429: GUESSES - ATTEMPTS}
    assert accounts.is_logged_in(session)


def test_parallel_guesses_from_an_address_are_counted(accounts: Accounts) -> None:
    known, client = accounts.create(), new_client()
    session = accounts.log_in(known)
    emails = [known, *(new_email() for _ in range(GUESSES - 1))]

    def guess(number: int) -> requests.Response:
        return accounts.post(f"{AUTH}/login", credentials(emails[number], WRONG), client=client)

    statuses = count_statuses(in_parallel(GUESSES, guess))
    assert statuses == {401: ATTEMPTS_BY_ADDRESS, 429: GUESSES - ATTEMPTS_BY_ADDRESS}
    attempts = count_attempts(accounts, f"login from {client}")
    assert ATTEMPTS_BY_ADDRESS - 0.5 < attempts <= ATTEMPTS_BY_ADDRESS
    assert accounts.get(f"{AUTH}/me", token=session, client=client).status_code == 200
    # Others are not affected.
    assert accounts.log_in(known)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_clients_cannot_forge_their_address(accounts: Accounts) -> None:
    """A server trusts `X-Forwarded-For` from its own machine alone, here from 127.0.0.1."""
    with requests.Session() as session:
        session.mount("http://", SourceAddress())
        statuses = []
        for _ in range(ATTEMPTS_BY_ADDRESS + 2):
            headers = {"X-Forwarded-For": new_client(), "X-Real-IP": new_client()}
            body = credentials(new_email(), WRONG)
            address = f"{accounts.served.address}{AUTH}/login"
            statuses.append(session.post(address, json=body, headers=headers, timeout=TIMEOUT))
    assert count_statuses(statuses) == {401: ATTEMPTS_BY_ADDRESS, 429: 2}


class SourceAddress(requests.adapters.HTTPAdapter):
    """Connects from another address of this machine."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, source_address=("127.0.0.2", 0))


def sign_up_link(accounts: Accounts) -> tuple[str, str, str]:
    email = new_email()
    return email, "verify-email", accounts.ask_for_token("sign-up", email)


def invitation_link(accounts: Accounts) -> tuple[str, str, str]:
    email, administrator = new_email(), accounts.create_administrator()
    body = {"email": email, "roles": ["viewer"]}
    assert accounts.post("/api/v1/users", body, token=administrator).status_code == 201
    return email, "accept-invitation", accounts.wait_for_token(email)


def reset_link(accounts: Accounts) -> tuple[str, str, str]:
    email = accounts.create()
    return email, "reset-password", accounts.ask_for_token("forgot-password", email)


@pytest.mark.parametrize("link", [sign_up_link, invitation_link, reset_link])
def test_one_of_parallel_uses_of_a_link_succeeds(
    accounts: Accounts, link: Callable[[Accounts], tuple[str, str, str]]
) -> None:
    email, operation, token = link(accounts)
    passwords = [f"{NEW_PASSWORD} {number}" for number in range(USES)]

    def use(number: int) -> int:
        body = {"token": token, "password": passwords[number]}
        return accounts.post(f"{AUTH}/{operation}", body).status_code

    statuses = in_parallel(USES, use)
    assert Counter(statuses) == {204: 1, 422: USES - 1}
    assert accounts.log_in(email, passwords[statuses.index(204)])
    # Nor does it work for another purpose.
    for other in ("verify-email", "accept-invitation", "reset-password"):
        body = {"token": token, "password": PASSWORD}
        assert accounts.post(f"{AUTH}/{other}", body).status_code == 422


def test_a_login_does_not_adopt_a_planted_session(accounts: Accounts) -> None:
    victim, attacker = accounts.create(), accounts.create()
    planted = [accounts.log_in(attacker), "session_" + "A" * 43, "x"]
    for cookie in planted:
        response = accounts.expect(200, "login", credentials(victim), cookie=cookie)
        token = response.cookies[COOKIE]
        assert token not in planted
        header = response.headers["Set-Cookie"].lower()
        attributes = {part.strip() for part in header.split(";")[1:]}
        assert attributes >= {"httponly", "secure", "samesite=lax", "path=/"}
        assert not any(part.startswith("domain") for part in attributes)
        assert accounts.get(f"{AUTH}/me", cookie=token).json()["email"] == victim
        # The planted one is not the victim's, nor does it go on.
        assert accounts.get(f"{AUTH}/me", cookie=cookie).status_code == 401


def log_out_everywhere(accounts: Accounts, email: str, sessions: list[str]) -> None:
    accounts.expect(204, "logout-everywhere", {}, token=sessions[0])


def reset_password(accounts: Accounts, email: str, sessions: list[str]) -> None:
    token = accounts.ask_for_token("forgot-password", email)
    accounts.expect(204, "reset-password", {"token": token, "password": NEW_PASSWORD})


def change_password(accounts: Accounts, email: str, sessions: list[str]) -> None:
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    accounts.expect(200, "change-password", body, token=sessions[0])


@pytest.mark.parametrize("end", [log_out_everywhere, reset_password, change_password])
def test_stolen_sessions_end(
    accounts: Accounts, end: Callable[[Accounts, str, list[str]], None]
) -> None:
    email, bystander = accounts.create(), accounts.log_in(accounts.create())
    sessions = in_parallel(3, lambda _: accounts.log_in(email))
    cookie = accounts.expect(200, "login", credentials(email)).cookies[COOKIE]
    end(accounts, email, sessions)
    assert not any(accounts.is_logged_in(session) for session in [*sessions, cookie])
    assert accounts.get(f"{AUTH}/me", cookie=cookie).status_code == 401
    assert accounts.is_logged_in(bystander)


def test_parallel_guesses_of_codes_are_counted(accounts: Accounts) -> None:
    email = accounts.create()
    [code, *_] = accounts.add_second_factor(accounts.log_in(email))
    challenge = accounts.start_login(email)

    def guess(number: int) -> requests.Response:
        body = {"challenge": challenge, "method": "totp", "code": f"{number:06}"}
        return accounts.post(f"{AUTH}/second-factor/token", body)

    statuses = count_statuses(in_parallel(GUESSES, guess))
    # 422: the challenge has ended after as many attempts.
    assert statuses[401] == ATTEMPTS
    assert statuses.keys() <= {401, 422, 429}
    # A new challenge gives no further guesses.
    body = {"challenge": accounts.start_login(email), "method": "recovery_code", "code": code}
    assert accounts.post(f"{AUTH}/second-factor", body).status_code == 429


def test_one_of_parallel_uses_of_a_recovery_code_succeeds(accounts: Accounts) -> None:
    email = accounts.create()
    [code, *_] = accounts.add_second_factor(accounts.log_in(email))
    # Not more: they are counted as guesses.
    challenges = [accounts.start_login(email) for _ in range(ATTEMPTS - 1)]

    def use(number: int) -> int:
        body = {"challenge": challenges[number], "method": "recovery_code", "code": code}
        return accounts.post(f"{AUTH}/second-factor/token", body).status_code

    statuses = Counter(in_parallel(len(challenges), use))
    assert statuses == {200: 1, 401: len(challenges) - 1}


def test_a_password_alone_is_no_login_to_an_account_with_a_second_factor(
    accounts: Accounts,
) -> None:
    email = accounts.create()
    accounts.add_second_factor(accounts.log_in(email))
    challenge = accounts.start_login(email)
    assert COOKIE not in accounts.expect(200, "login", credentials(email)).cookies
    for options in ({"token": challenge}, {"cookie": challenge}):
        assert accounts.get(f"{AUTH}/me", **options).status_code == 401
    # Nor is a new password.
    reset_password(accounts, email, [])
    response = accounts.expect(200, "token", credentials(email, NEW_PASSWORD)).json()
    assert (response["token"], response["second_factors"]) == (None, ["totp", "recovery_code"])


def test_parallel_changes_of_an_account_cause_no_server_error(accounts: Accounts) -> None:
    """Logins, new passwords and ends of sessions lock the same rows in many ways."""
    email = accounts.create()
    session = accounts.log_in(email)
    link = accounts.ask_for_token("forgot-password", email)
    current = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    new = {"token": link, "password": NEW_PASSWORD}
    operations: list[tuple[str, object]] = [
        *[("login", credentials(email)), ("token", credentials(email))] * 2,
        *[("change-password", current), ("reset-password", new)],
        *[("logout-everywhere", {}), ("second-factors/totp", None)],
        *[("api-keys", {"name": "a", "scopes": ["item:read"]}), ("logout", None)],
        *[("change-email", {"email": new_email()}), ("forgot-password", {"email": email})],
    ]

    def call(number: int) -> requests.Response:
        operation, body = operations[number % len(operations)]
        options = {} if operation in {"login", "token"} else {"token": session}
        return accounts.post(f"{AUTH}/{operation}", body, **options)

    responses = in_parallel(2 * len(operations), call)
    unexpected = [response.text for response in responses if response.status_code >= 500]
    assert unexpected == []
    assert not accounts.is_logged_in(session)


def test_no_secret_is_logged(accounts: Accounts) -> None:
    email = accounts.create()
    session = accounts.log_in(email)
    key = accounts.post(
        f"{AUTH}/api-keys", {"name": "Backup", "scopes": ["item:read"]}, token=session
    ).json()["key"]
    assert accounts.get("/api/v1/items", token=key).status_code == 200
    reset_password(accounts, email, [session])
    with_factor = accounts.create()
    [code, *_] = accounts.add_second_factor(accounts.log_in(with_factor))
    for method in ("totp", "recovery_code"):
        challenge = accounts.start_login(with_factor)
        body = {"challenge": challenge, "method": method, "code": code}
        status = {"totp": 401, "recovery_code": 204}[method]
        accounts.expect(status, "second-factor", body)
    guess = "guess " + WRONG
    accounts.post(f"{AUTH}/token", credentials(email, guess))
    accounts.post(f"{AUTH}/token", {"email": guess, "password": guess})
    unknown = "password_reset_" + "B" * 43
    accounts.expect(422, "reset-password", {"token": unknown, "password": guess})
    accounts.get(f"{AUTH}/me", token=session)
    log = accounts.log()
    for event in EVENTS:
        assert event in log
    found = {*accounts.secrets, key, guess, unknown, PASSWORD, NEW_PASSWORD}
    # As stored, they would not help anybody; they are no business of a log either.
    found |= {hashlib.sha256(secret.encode()).hexdigest() for secret in found}
    assert [secret for secret in found if secret in log] == []
    assert "$argon2" not in log
