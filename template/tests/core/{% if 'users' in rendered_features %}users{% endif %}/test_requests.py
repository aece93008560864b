"""What holds for all operations on accounts: strict bodies, private responses, secrets."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI

from app.core.mail import Mail
from app.core.users import permissions
from app.core.users.models import UserAccount
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    link_token,
)

TOKEN_AND_PASSWORD = {"token": "x", "password": PASSWORD}
SECOND_FACTOR = {"challenge": "x", "method": "totp", "code": "123456"}
CREDENTIAL = {
    "id": "AA",
    "rawId": "AA",
    "type": "public-key",
    "response": {
        "clientDataJSON": "AA",
        "authenticatorData": "AA",
        "signature": "AA",
        "userHandle": "AA",
    },
}
NEW_CREDENTIAL = CREDENTIAL | {"response": {"clientDataJSON": "AA", "attestationObject": "AA"}}
BODIES: dict[str, dict[str, Any]] = {
    f"{AUTH}/sign-up": {"email": ADA},
    f"{AUTH}/verify-email": TOKEN_AND_PASSWORD,
    f"{AUTH}/accept-invitation": TOKEN_AND_PASSWORD,
    f"{AUTH}/login": CREDENTIALS,
    f"{AUTH}/token": CREDENTIALS,
    f"{AUTH}/forgot-password": {"email": ADA},
    f"{AUTH}/reset-password": TOKEN_AND_PASSWORD,
    f"{AUTH}/confirm-email": {"token": "x"},
    f"{AUTH}/change-password": {"current_password": PASSWORD, "password": NEW_PASSWORD},
    f"{AUTH}/change-email": {"email": "bob@example.com"},
    f"{AUTH}/deactivate": {},
    f"{AUTH}/delete-account": {},
    f"{AUTH}/logout-everywhere": {},
    f"{AUTH}/api-keys": {"name": "Backup", "scopes": ["user:write"]},
    f"{AUTH}/identities": {"provider": "corp"},
    f"{AUTH}/second-factor": SECOND_FACTOR,
    f"{AUTH}/second-factor/token": SECOND_FACTOR,
    f"{AUTH}/second-factor/passkey-options": {"challenge": "x"},
    f"{AUTH}/passkey-login": {"credential": CREDENTIAL},
    f"{AUTH}/passkey-login/token": {"credential": CREDENTIAL},
    f"{AUTH}/second-factors/totp/confirm": {"code": "123456"},
    f"{AUTH}/second-factors/passkeys": {"credential": NEW_CREDENTIAL, "name": "Phone"},
    "/api/v1/users": {"email": "bob@example.com"},
}
# Operations without a body.
WITHOUT_BODY = {
    f"{AUTH}/logout",
    f"{AUTH}/passkey-options",
    f"{AUTH}/second-factors/passkeys/options",
    f"{AUTH}/second-factors/recovery-codes",
    f"{AUTH}/second-factors/totp",
}
PUBLIC = {
    "accept_invitation",
    "confirm_email",
    "create_provider_token",
    "create_token",
    "create_token_with_passkey",
    "create_token_with_second_factor",
    "finish_provider_login",
    "forgot_password",
    "get_passkey_options",
    "get_second_factor_options",
    "list_providers",
    "log_in_with_passkey",
    "login",
    "logout",
    "prove_second_factor",
    "reset_password",
    "sign_up",
    "start_provider_login",
    "verify_email",
}


# A character alone is not Base64.
TEXTS = ["", "A", "\0", "\ud800", "A" * 10_000, "😀", "é", "²"]


def with_texts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return copies of a body, each with one of TEXTS instead of one of its values."""
    for field, value in body.items():
        values = [*TEXTS, *(with_texts(value) if isinstance(value, dict) else ())]
        yield from (body | {field: changed} for changed in values)


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the path, the method and the description of each operation on accounts."""
    return [
        (path, method, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if path.startswith((AUTH, "/api/v1/users"))
    ]


def test_all_operations_with_a_body_are_listed(app: FastAPI) -> None:
    paths = {path for path, method, _ in operations(app) if method == "post" and "{" not in path}
    assert paths == BODIES.keys() | WITHOUT_BODY


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("field", ["is_admin", "roles_", "email_verified_at", "id", "user_id"])
async def test_unknown_fields_are_rejected(
    client: httpx2.AsyncClient, authorize: Authorize, path: str, field: str
) -> None:
    headers = await authorize(permissions.WRITE)
    body = BODIES[path] | {field: ["administrator"]}
    response = await client.post(path, json=body, headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"location": ["body", field], "reason": "Extra inputs are not permitted"}
    ]


@pytest.mark.parametrize("path", BODIES)
async def test_no_text_is_a_server_error(
    client: httpx2.AsyncClient, authorize: Authorize, path: str
) -> None:
    for body in with_texts(BODIES[path]):
        # Some operations end the session.
        headers = await authorize(permissions.WRITE) | {"Content-Type": "application/json"}
        # Escapes surrogates, which the client's own encoder rejects.
        response = await client.post(path, content=json.dumps(body), headers=headers)
        assert response.status_code < 500, body


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("email", "ada@@example", "not a mail address such as ada@example.com"),
        ("password", "ü" * 513, "at most 1024 bytes"),
        ("password", "\ud800", "surrogate code points are not allowed"),
    ],
    ids=["address", "bytes", "surrogate"],
)
async def test_reasons_are_in_plain_words(
    client: httpx2.AsyncClient, field: str, value: str, reason: str
) -> None:
    body = json.dumps(BODIES[f"{AUTH}/login"] | {field: value})
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{AUTH}/login", content=body, headers=headers)
    assert response.json()["errors"] == [{"location": ["body", field], "reason": reason}]


@pytest.mark.parametrize("path", [f"{AUTH}/sign-up", f"{AUTH}/forgot-password"])
async def test_responses_to_requests_for_mails_are_empty(
    client: httpx2.AsyncClient, app: FastAPI, path: str
) -> None:
    response = await client.post(path, json=BODIES[path])
    assert (response.status_code, response.content) == (202, b"")
    assert "content" not in app.openapi()["paths"][path]["post"]["responses"]["202"]


@pytest.mark.parametrize("path", [f"{AUTH}/sign-up", f"{AUTH}/login", f"{AUTH}/verify-email"])
async def test_roles_cannot_be_sent_along(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.post(path, json=BODIES[path] | {"roles": ["administrator"]})
    assert response.status_code == 422


def test_operations_document_both_ways_to_authenticate(app: FastAPI) -> None:
    for path, method, operation in operations(app):
        name = operation["operationId"].partition("-")[2]
        scope = permissions.READ if method == "get" else permissions.WRITE
        scopes = [scope] if path.startswith("/api/v1/users") else []
        if operation["tags"] == ["auth"] and name in PUBLIC:
            assert "security" not in operation
        else:
            assert operation["security"] == [{"bearer": scopes}, {"cookie": scopes}], path
    schemes = app.openapi()["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["cookie"] == {"type": "apiKey", "in": "cookie", "name": "__Host-session"}


def test_the_document_is_the_same_each_time(app: FastAPI) -> None:
    assert json.dumps(app.openapi()) == json.dumps(app.openapi())


async def test_all_responses_are_private(app: FastAPI, client: httpx2.AsyncClient) -> None:
    for path, method, _ in operations(app):
        url = re.sub(r"\{\w+\}", "0" * 32, path.replace("{name}", "corp"))
        response = await client.request(method, url, json={})
        assert response.headers["Cache-Control"] == "no-store", (method, path)
        assert {"Authorization", "Cookie"} <= {*response.headers["Vary"].split(", ")}


async def test_secrets_reach_neither_logs_nor_traces_nor_error_responses(
    lenient_client: httpx2.AsyncClient,
    app: FastAPI,
    ada: UserAccount,
    jobs: JobRunner,
    mails: list[Mail],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    client = lenient_client
    errors: list[str] = []
    with structlog.testing.capture_logs() as logs:
        bad = [
            CREDENTIALS | {"password": 7},
            CREDENTIALS | {"x": 1},
            [PASSWORD],
            {"email": PASSWORD},
        ]
        for body in bad:
            errors.append((await client.post(f"{AUTH}/login", json=body)).text)
        wrong = CREDENTIALS | {"password": NEW_PASSWORD}
        errors.append((await client.post(f"{AUTH}/login", json=wrong)).text)
        token = (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        await client.post(f"{AUTH}/forgot-password", json={"email": ADA})
        waiting = await jobs.waiting()
        await jobs.run()
        link = link_token(mails[0])
        body = {"token": link, "password": NEW_PASSWORD[:9]}
        errors.append((await client.post(f"{AUTH}/reset-password", json=body)).text)
        body = {"token": link + "x", "password": NEW_PASSWORD}
        errors.append((await client.post(f"{AUTH}/reset-password", json=body)).text)
        await client.get(f"{AUTH}/me", headers=headers)
        monkeypatch.setattr("app.core.users.passwords.login.find_by_email", None)
        response = await client.post(f"{AUTH}/login", json=CREDENTIALS)
        assert response.status_code == 500
    written = [str(logs), caplog.text, str(waiting), str(errors)]
    for secret in (PASSWORD, NEW_PASSWORD, token, link, str(ada.password_hash)):
        for text in written:
            assert secret not in text
