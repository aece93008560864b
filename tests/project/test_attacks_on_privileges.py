"""Attacks on accounts by those who have one, and by pages that its owner opens."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page

from tests.project.test_api_fuzz import fuzz, run_schemathesis, unauthorized
from tests.support.accounts import (
    AUTH,
    COOKIE,
    NEW_PASSWORD,
    PASSWORD,
    SETTINGS,
    USERS,
    Accounts,
    credentials,
    new_email,
)

MISSING_ID = "01a22829-c6cb-705e-8273-4ac11c34d76c"
# What no account may set of itself.
FORBIDDEN_FIELDS: dict[str, Any] = {
    "is_admin": True,
    "roles": ["administrator"],
    "scopes": ["user:write"],
    "id": MISSING_ID,
    "user_id": MISSING_ID,
    "email_verified_at": "2026-01-01T00:00:00Z",
    "deactivated_at": None,
    "password_hash": "x",
    "version": 100,
    "__class__": "x",
}
LIMITS = (
    *("USERS_LOGIN_ATTEMPTS", "USERS_LOGIN_ATTEMPTS_BY_ADDRESS"),
    *("USERS_MAILS", "USERS_MAILS_BY_ADDRESS", "USERS_SESSION_LIMIT"),
)
# Requests with a made-up cookie beside the token are rejected.
NO_OTHER_CREDENTIALS = ("--generation-with-security-parameters", "false")


def is_private(response: requests.Response) -> bool:
    vary = {name.strip().lower() for name in response.headers.get("Vary", "").split(",")}
    no_store = response.headers.get("Cache-Control") == "no-store"
    return no_store and vary >= {"authorization", "cookie"}


def protected_operations(accounts: Accounts, prefix: str) -> list[tuple[str, str]]:
    """Return the methods and the paths of operations that need credentials."""
    paths: dict[str, dict[str, Any]] = accounts.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path.startswith(prefix) and "security" in operation
    ]


def create_key(
    accounts: Accounts, token: str, scopes: Sequence[str] = ("item:read", "item:write")
) -> dict[str, Any]:
    created = accounts.post(f"{AUTH}/api-keys", {"name": "a", "scopes": [*scopes]}, token=token)
    assert created.status_code == 201, created.text
    key: dict[str, Any] = created.json()
    accounts.secrets.add(key["key"])
    return key


@pytest.mark.parametrize("field", FORBIDDEN_FIELDS)
def test_bodies_cannot_set_other_fields(accounts: Accounts, field: str) -> None:
    email = accounts.create()
    session = accounts.log_in(email)
    before = accounts.get(f"{AUTH}/me", token=session).json()
    link = accounts.ask_for_token("forgot-password", email)
    bodies: dict[str, dict[str, Any]] = {
        "sign-up": {"email": new_email()},
        "login": credentials(email),
        "token": credentials(email),
        "forgot-password": {"email": email},
        "reset-password": {"token": link, "password": NEW_PASSWORD},
        "change-password": {"current_password": PASSWORD, "password": NEW_PASSWORD},
        "change-email": {"email": new_email()},
        "api-keys": {"name": "a", "scopes": ["item:read"]},
        "deactivate": {},
        "delete-account": {},
    }
    for operation, body in bodies.items():
        if field not in body:
            body = body | {field: FORBIDDEN_FIELDS[field]}
            response = accounts.expect(422, operation, body, token=session)
            assert field in response.text
    assert accounts.get(f"{AUTH}/me", token=session).json() == before
    assert accounts.get(f"{AUTH}/api-keys", token=session).json() == []


def test_a_caller_cannot_take_scopes(accounts: Accounts) -> None:
    session = accounts.log_in(accounts.create())
    for scopes in (["user:write"], ["item:read", "user:read"], ["*"], ["item:*"]):
        body = {"name": "a", "scopes": scopes}
        assert accounts.post(f"{AUTH}/api-keys", body, token=session).status_code == 403
    assert accounts.get(f"{AUTH}/api-keys", token=session).json() == []


def test_administration_needs_its_scopes(accounts: Accounts) -> None:
    administrator = accounts.create_administrator()
    own = accounts.get(f"{AUTH}/me", token=administrator).json()
    session = accounts.log_in(accounts.create())
    key = create_key(accounts, session)["key"]
    attacked = protected_operations(accounts, USERS)
    assert len(attacked) >= 9
    for method, path in attacked:
        path = path.replace("{user_id}", own["id"])
        body = {"email": new_email(), "roles": []}
        for status, token in ((403, session), (403, key), (401, None), (401, "session_x")):
            response = accounts.request(method, path, body, token=token)
            assert response.status_code == status, (method, path, response.text)
            assert is_private(response)
            challenge = response.headers["WWW-Authenticate"]
            assert ("insufficient_scope" in challenge) == (status == 403)
            # No scope would let a key in.
            assert ("scope=" in challenge) == (token == session)
    assert accounts.get(f"{AUTH}/me", token=administrator).json() == own


def test_a_stolen_api_key_cannot_manage_accounts(accounts: Accounts) -> None:
    """Whatever its scopes: it must not become a session, a password or another key."""
    administrator = accounts.create_administrator()
    own = accounts.get(f"{AUTH}/me", token=administrator).json()
    key = create_key(accounts, administrator, own["scopes"])["key"]
    assert {"user:read", "user:write"} <= {*own["scopes"]}
    for prefix in (AUTH, USERS):
        attacked = protected_operations(accounts, prefix)
        assert len(attacked) >= 9
        for method, path in attacked:
            path = re.sub(r"{.*?}", own["id"], path)
            assert accounts.request(method, path, {}, token=key).status_code == 403, path
    # Browsers send cookies by themselves, which is for sessions only.
    assert accounts.get("/api/v1/items", cookie=key).status_code == 401
    assert accounts.get("/api/v1/items", token=key).status_code == 200


def test_paths_cannot_be_disguised(accounts: Accounts) -> None:
    session = accounts.log_in(accounts.create())
    for path in (
        *("//api/v1/users", "/api/v1//users", "/api/v1/users/", "/api/v1/auth/../users"),
        *("/API/v1/users", "/api/v1/users%2f", "/api/v1/%75sers", "/api/v1/users;a", "/./api"),
    ):
        response = send_raw(accounts, path, session)
        assert response.status_code in {403, 404}, path


def send_raw(accounts: Accounts, path: str, token: str) -> requests.Response:
    """Send a path as it is: requests would normalize it."""
    request = requests.Request("GET", accounts.served.address).prepare()
    request.url = accounts.served.address + path
    request.headers["Authorization"] = f"Bearer {token}"
    with requests.Session() as session:
        return session.send(request, timeout=60)


def test_an_administrator_cannot_change_the_own_account(accounts: Accounts) -> None:
    administrator = accounts.create_administrator()
    own = accounts.get(f"{AUTH}/me", token=administrator).json()
    for method, path in protected_operations(accounts, f"{USERS}/{{user_id}}"):
        if method != "GET":
            path = path.replace("{user_id}", own["id"])
            response = accounts.request(method, path, {"roles": []}, token=administrator)
            assert response.status_code == 403, (method, path)
    assert accounts.get(f"{AUTH}/me", token=administrator).json() == own


def test_rows_of_others_are_missing(accounts: Accounts) -> None:
    victim, attacker = (accounts.log_in(accounts.create()) for _ in range(2))
    [victims_session] = accounts.get(f"{AUTH}/sessions", token=victim).json()
    key = create_key(accounts, victim)
    for path in (f"sessions/{victims_session['id']}", f"api-keys/{key['id']}"):
        missing = f"{path.partition('/')[0]}/{MISSING_ID}"
        answers = [
            accounts.request("DELETE", f"{AUTH}/{one}", token=attacker) for one in (path, missing)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        # Nor do they tell what exists.
        texts = [
            answer.text.replace(one.partition("/")[2], "")
            for answer, one in zip(answers, (path, missing), strict=True)
        ]
        assert texts[0] == texts[1]
    lists = [
        accounts.get(f"{AUTH}/{name}", token=attacker).text for name in ("sessions", "api-keys")
    ]
    assert not any(row["id"] in text for text in lists for row in (victims_session, key))
    accounts.request("DELETE", f"{AUTH}/api-keys", token=attacker)
    accounts.expect(204, "logout-everywhere", {}, token=attacker)
    assert accounts.is_logged_in(victim)
    assert accounts.get("/api/v1/items", token=key["key"]).status_code == 200


def test_an_etag_tells_nothing_to_others(accounts: Accounts) -> None:
    administrator = accounts.create_administrator()
    email = accounts.create()
    session = accounts.log_in(email)
    users = accounts.get(f"{USERS}?email={email}", token=administrator).json()["items"]
    path = f"{USERS}/{users[0]['id']}"
    known = accounts.get(path, token=administrator)
    assert known.status_code == 200
    for etag in (known.headers["ETag"], "*"):
        conditional = {"If_None_Match": etag}
        statuses = [
            accounts.get(path, token=token, **conditional)
            for token in (administrator, session, None, "session_x")
        ]
        assert [response.status_code for response in statuses] == [304, 403, 401, 401]
        assert all(is_private(response) for response in statuses)
        for refused in statuses[1:]:
            assert "ETag" not in refused.headers
        missing = accounts.get(f"{USERS}/{MISSING_ID}", token=administrator, **conditional)
        assert missing.status_code == 404
        # An `If-Match` is not compared first: 412 would tell the version.
        change = {"If_Match": '"1000"'}
        for token, status in ((session, 403), (None, 401)):
            changed = accounts.request("DELETE", path, token=token, **change)
            assert changed.status_code == status


def test_private_responses_are_not_cached(accounts: Accounts) -> None:
    email = accounts.create()
    session, cookie = accounts.log_in(email), accounts.log_in(email)
    item = accounts.post("/api/v1/items", {"name": "Lamp"}, token=session)
    paths = ["/api/v1/items", f"/api/v1/items/{item.json()['id']}", f"{AUTH}/me"]
    paths += [f"{AUTH}/sessions", f"{AUTH}/api-keys", f"{AUTH}/second-factors"]
    for path in paths:
        responses = [accounts.get(path, token=session), accounts.get(path, cookie=cookie)]
        assert [response.status_code for response in responses] == [200, 200], path
        assert all(map(is_private, [item, *responses, accounts.get(path)])), path
    for operation in ("login", "token"):
        assert is_private(accounts.expect(200, operation, credentials(email)))
    assert is_private(accounts.post(f"{AUTH}/logout", cookie=cookie))


def test_all_private_operations_reject_strangers(accounts: Accounts) -> None:
    assert unauthorized(accounts.served.address) >= 35


class OtherOrigin(BaseHTTPRequestHandler):
    """An empty page of an attacker."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Attack</title>")

    def log_message(self, *arguments: object) -> None:
        """Not among the output of tests."""


@contextmanager
def other_origin() -> Iterator[str]:
    """Serve a page on another port of the same host: another origin, but the same site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherOrigin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


FETCH = """async ([method, url, mode, body, type]) => {
    try {
        const headers = type ? {"Content-Type": type} : {};
        const options = {method, mode, credentials: "include", headers};
        if (body) options.body = body;
        return (await fetch(url, options)).status;
    } catch (error) { return String(error); }
}"""
SUBMIT = """url => {
    const form = document.createElement("form");
    Object.assign(form, {action: url, method: "post"});
    document.body.append(form);
    form.submit();
}"""
FAILED = "TypeError: Failed to fetch"


def fetch(
    page: Page, url: str, method: str = "POST", mode: str = "cors", body: str = "", kind: str = ""
) -> Any:
    """Send a request with the cookies of a page's browser; return the status, or the error."""
    return page.evaluate(FETCH, [method, url, mode, body, kind])


def log_in_page(accounts: Accounts, page: Page, email: str) -> str:
    """Log in as a page of the application does; return the token, which pages cannot read."""
    page.goto(f"{accounts.served.address}/docs")
    url = f"{accounts.served.address}{AUTH}/login"
    body = json.dumps(credentials(email))
    assert fetch(page, url, body=body, kind="application/json") == 200
    assert fetch(page, f"{accounts.served.address}{AUTH}/me", "GET") == 200
    assert page.evaluate("document.cookie") == ""
    [token] = [
        cookie.get("value", "") for cookie in page.context.cookies() if cookie.get("name") == COOKIE
    ]
    return token


def test_a_form_of_another_origin_changes_nothing(accounts: Accounts, browser: Browser) -> None:
    target = f"{accounts.served.address}{AUTH}/logout-everywhere"
    with other_origin() as attacker, browser.new_context() as context:
        own, page = context.new_page(), context.new_page()
        token = log_in_page(accounts, own, accounts.create())
        page.goto(attacker)
        with page.expect_response(target) as answered:
            page.evaluate(SUBMIT, target)
        headers = answered.value.request.all_headers()
        # The browser has sent the cookie, which is `SameSite=Lax`: ports are no part of a site.
        assert headers["cookie"] == f"{COOKIE}={token}"
        assert (headers["origin"], headers["sec-fetch-site"]) == (attacker, "same-site")
        assert answered.value.status == 403
        assert accounts.is_logged_in(token)
        assert fetch(own, target, body="{}", kind="application/json") == 204
        assert not accounts.is_logged_in(token)


def test_scripts_of_another_origin_change_nothing(accounts: Accounts, browser: Browser) -> None:
    email, api = accounts.create(), f"{accounts.served.address}{AUTH}"
    body = json.dumps(credentials(email))
    with other_origin() as attacker, browser.new_context() as context:
        own, page = context.new_page(), context.new_page()
        token = log_in_page(accounts, own, email)
        page.goto(attacker)
        refused = count_refused(accounts, attacker)
        for operation in ("logout-everywhere", "logout", "login", "token", "delete-account"):
            for mode in ("cors", "no-cors"):
                # The request is sent, and the script learns nothing about the response.
                assert fetch(page, f"{api}/{operation}", mode=mode, body=body) == FAILED
                refused += 1
                assert count_refused(accounts, attacker) == refused, operation
        # Others are not even sent.
        url = f"{api}/logout-everywhere"
        for method in ("POST", "PATCH", "DELETE"):
            assert fetch(page, url, method, body="{}", kind="application/json") == FAILED
        assert count_refused(accounts, attacker) == refused
        # Nor can a script read.
        assert fetch(page, f"{api}/me", "GET") == FAILED
        assert accounts.is_logged_in(token)
        assert fetch(own, url, body="{}", kind="application/json") == 204
        assert not accounts.is_logged_in(token)


# What browsers from before 2023 send, and those that do not trust the address of the page.
@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://localhost:5173"])
def test_a_foreign_origin_alone_is_refused(accounts: Accounts, origin: str) -> None:
    cookie = accounts.log_in(accounts.create())
    for operation in ("logout-everywhere", "logout", "login", "second-factors/totp"):
        accounts.expect(403, operation, {}, cookie=cookie, Origin=origin)
    item = accounts.post("/api/v1/items", {"name": "Lamp"}, cookie=cookie, Origin=origin)
    assert item.status_code == 403
    assert accounts.is_logged_in(cookie)
    accounts.expect(204, "logout-everywhere", {}, cookie=cookie, Origin=accounts.served.address)


def count_refused(accounts: Accounts, origin: str) -> int:
    """Count the lines of the log about requests by pages of an origin."""
    lines = accounts.log().splitlines()
    return sum("cross-site request rejected" in line and origin in line for line in lines)


@pytest.fixture
def unlimited(accounts: Accounts) -> Iterator[str]:
    """Where the same project is served without the limits that would end a fuzzer's requests."""
    limits = dict.fromkeys(LIMITS, "100000")
    with accounts.made.serve(accounts.url, **SETTINGS | limits) as served:
        yield served.address


def test_schemathesis_finds_no_failure_of_modules(
    accounts: Accounts, unlimited: str, tmp_path: Path
) -> None:
    header = f"Authorization: Bearer {accounts.create_administrator()}"
    fuzz(
        unlimited,
        tmp_path,
        *("--header", header, "--exclude-path-regex", "^/api/v1/(auth|users)"),
        *NO_OTHER_CREDENTIALS,
    )


# Thousands of requests, which do not differ much between databases.
@pytest.mark.parametrize("accounts", ["sqlite"], indirect=True)
def test_schemathesis_finds_no_server_error_of_accounts(
    accounts: Accounts, unlimited: str, tmp_path: Path
) -> None:
    session = accounts.create_administrator()
    run_schemathesis(
        unlimited,
        tmp_path,
        *("--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"),
        *("--header", f"Authorization: Bearer {session}"),
        *("--include-path-regex", "^/api/v1/(auth|users)"),
        *NO_OTHER_CREDENTIALS,
        # They would end the session.
        *("--exclude-path-regex", "/auth/(logout|logout-everywhere|deactivate|delete-account)$"),
    )
    assert accounts.is_logged_in(session)
