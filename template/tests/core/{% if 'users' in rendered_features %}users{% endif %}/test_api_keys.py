"""API keys call the API with some scopes of their account, and never manage the account."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError
from uuid_utils.compat import uuid7

from app.core.auth.principal import Principal
from app.core.auth.requirements import Caller, require
from app.core.database import SessionDep, SessionFactory
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.routing import APIRouter
from app.core.users.api_keys import authentication, keys
from app.core.users.api_keys.service import MAX_KEYS
from app.core.users.authentication import COOKIE
from app.core.users.confirmation import require_recent_login
from app.core.users.models import UserAccount, UserApiKey, UserSession
from app.core.users.passwords.hashes import get_password_hasher
from tests.conftest import StatementLimit
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import delete_all_expired

KEYS = "/api/v1/auth/api-keys"
OWNER = uuid7()
PASSWORD = "correct horse battery staple"  # noqa: S105
BODY = {"name": "Backup", "scopes": ["test:read"]}


@pytest.fixture(autouse=True)
def _operations(app: FastAPI) -> None:
    @app.get("/test/things", dependencies=[require("test:read")])
    async def read(caller: Caller) -> dict[str, Any]:
        return {"id": caller.id, "scopes": sorted(caller.scopes)}

    @app.post("/test/things", dependencies=[require("test:write")])
    async def write() -> None: ...

    @app.get("/test/caller")
    async def read_caller(_: Caller) -> None: ...


@pytest.fixture
async def owner(authorize: Authorize) -> dict[str, str]:
    """Headers of the session that creates keys."""
    return await authorize("test:read", "test:write", id=str(OWNER))


Create = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def create(client: httpx2.AsyncClient, owner: dict[str, str]) -> Create:
    """`await create(scopes=[…])` returns a new key with the response about it."""

    async def create(**data: Any) -> dict[str, Any]:
        response = await client.post(KEYS, json=BODY | data, headers=owner)
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    return create


def bearer(created: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {created['key']}"}


async def read_status(client: httpx2.AsyncClient, created: dict[str, Any]) -> int:
    return (await client.get("/test/things", headers=bearer(created))).status_code


async def test_a_key_identifies_its_account(client: httpx2.AsyncClient, create: Create) -> None:
    response = await client.get("/test/things", headers=bearer(await create()))
    assert response.json() == {"id": str(OWNER), "scopes": ["test:read"]}
    assert response.headers["Cache-Control"] == "no-store"


async def test_scanners_for_secrets_can_recognize_keys(create: Create) -> None:
    created = await create()
    assert created["key"].startswith(created["prefix"] + "_")
    assert keys.API_KEY_PATTERN.fullmatch(created["key"])
    assert created["prefix"].startswith("app_key_")


async def test_a_key_is_limited_to_its_scopes(client: httpx2.AsyncClient, create: Create) -> None:
    response = await client.post("/test/things", headers=bearer(await create()))
    assert response.status_code == 403
    assert "test:write" in response.json()["detail"]
    challenge = 'Bearer error="insufficient_scope", scope="test:write"'
    assert response.headers["WWW-Authenticate"] == challenge


async def test_a_key_loses_the_scopes_that_its_account_loses(
    client: httpx2.AsyncClient, create: Create, session_factory: SessionFactory
) -> None:
    created = await create(scopes=["test:read", "test:write"])
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(roles=[]))
    response = await client.get("/test/things", headers=bearer(created))
    assert response.status_code == 403


async def test_the_scopes_of_a_key_do_not_grow_with_those_of_its_account(
    client: httpx2.AsyncClient, create: Create, app: FastAPI, session_factory: SessionFactory
) -> None:
    created = await create()
    app.state.role_scopes.roles["bigger"] = {"test:read", "test:write", "test:more"}
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(roles=["bigger"]))
    response = await client.get("/test/things", headers=bearer(created))
    assert response.json()["scopes"] == ["test:read"]


async def test_a_key_cannot_have_scopes_that_its_creator_lacks(
    client: httpx2.AsyncClient, owner: dict[str, str]
) -> None:
    body = BODY | {"scopes": ["test:read", "user:write"]}
    response = await client.post(KEYS, json=body, headers=owner)
    assert response.status_code == 403
    assert "user:write" in response.json()["detail"]


@pytest.fixture
async def old_login(owner: dict[str, str], session_factory: SessionFactory) -> dict[str, str]:
    """Headers of a session that is an hour old; the account has PASSWORD."""
    hashed = await get_password_hasher().hash(PASSWORD)
    async with session_factory.begin() as session:
        old = utc_now() - timedelta(hours=1)
        await session.execute(update(UserSession).values(authenticated_at=old))
        await session.execute(update(UserAccount).values(password_hash=hashed))
    return owner


@pytest.mark.parametrize(
    ("data", "status"),
    [({}, 403), ({"current_password": "wrong"}, 403), ({"current_password": PASSWORD}, 201)],
)
async def test_an_old_login_creates_keys_only_with_the_password(
    client: httpx2.AsyncClient, old_login: dict[str, str], data: dict[str, str], status: int
) -> None:
    response = await client.post(KEYS, json=BODY | data, headers=old_login)
    assert response.status_code == status


@pytest.mark.parametrize(
    "data",
    [
        {"scopes": []},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "a\u2028b"},
        {"name": "x" * 101},
        {"user_id": str(OWNER)},
        {"key_hash": "0" * 64},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "9000-01-01T00:00:00Z"},
        {"expires_at": "2030-01-01T00:00:00"},
    ],
)
async def test_invalid_keys_are_rejected(
    client: httpx2.AsyncClient, owner: dict[str, str], data: dict[str, Any]
) -> None:
    body = BODY | data
    assert (await client.post(KEYS, json=body, headers=owner)).status_code == 422


async def test_a_key_expires_after_90_days_by_default(create: Create) -> None:
    created = await create()
    lifetime = datetime.fromisoformat(created["expires_at"]) - utc_now()
    assert timedelta(days=89, hours=23) < lifetime <= timedelta(days=90)


async def test_a_key_ends_when_it_expires(
    client: httpx2.AsyncClient, create: Create, session_factory: SessionFactory
) -> None:
    created = await create(expires_at=(utc_now() + timedelta(hours=1)).isoformat())
    assert await read_status(client, created) == 200
    async with session_factory.begin() as session:
        await session.execute(update(UserApiKey).values(expires_at=utc_now()))
    assert await read_status(client, created) == 401
    async with session_factory.begin() as session:
        await delete_all_expired(session)
        assert (await session.scalars(select(UserApiKey))).all() == []


async def test_a_revoked_key_is_rejected_at_once(
    client: httpx2.AsyncClient, create: Create, owner: dict[str, str]
) -> None:
    first, second = await create(), await create()
    assert (await client.delete(f"{KEYS}/{first['id']}", headers=owner)).status_code == 204
    assert await read_status(client, first) == 401
    assert await read_status(client, second) == 200
    assert (await client.delete(KEYS, headers=owner)).status_code == 204
    assert await read_status(client, second) == 401


@pytest.mark.parametrize(("ids", "count"), [(None, 2), ([], 0), ([UUID(int=1)], 0)])
async def test_only_without_ids_all_keys_are_revoked(
    create: Create, session_factory: SessionFactory, ids: list[UUID] | None, count: int
) -> None:
    await create()
    await create()
    async with session_factory.begin() as session:
        assert await keys.revoke_api_keys(session, OWNER, ids=ids) == count
        assert len((await session.scalars(select(UserApiKey))).all()) == 2 - count


async def test_keys_of_deactivated_and_deleted_accounts_are_rejected(
    client: httpx2.AsyncClient, create: Create, session_factory: SessionFactory
) -> None:
    created = await create()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
    assert await read_status(client, created) == 401
    async with session_factory.begin() as session:
        await session.execute(delete(UserAccount).where(UserAccount.id == OWNER))
        assert (await session.scalars(select(UserApiKey))).all() == []
    assert await read_status(client, created) == 401


async def test_deactivation_by_the_owner_revokes_keys(
    client: httpx2.AsyncClient,
    create: Create,
    owner: dict[str, str],
    session_factory: SessionFactory,
) -> None:
    created = await create()
    response = await client.post("/api/v1/auth/deactivate", json={}, headers=owner)
    assert response.status_code == 204
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=None))
    assert await read_status(client, created) == 401


async def test_deactivation_by_an_administrator_revokes_keys(
    client: httpx2.AsyncClient, create: Create, authorize: Authorize
) -> None:
    created = await create()
    administrator = await authorize("user:write", "test:read", "test:write")
    for action in ("deactivate", "activate"):
        link = f"/api/v1/users/{OWNER}/{action}"
        assert (await client.post(link, headers=administrator)).status_code in {200, 204}
    assert await read_status(client, created) == 401


async def test_keys_survive_a_change_of_the_password(
    client: httpx2.AsyncClient, create: Create, owner: dict[str, str]
) -> None:
    created = await create()
    body = {"password": PASSWORD}
    response = await client.post("/api/v1/auth/change-password", json=body, headers=owner)
    assert response.status_code == 200, response.text
    assert await read_status(client, created) == 200


async def test_the_key_is_shown_once_and_stored_nowhere(
    client: httpx2.AsyncClient,
    create: Create,
    owner: dict[str, str],
    session_factory: SessionFactory,
    jobs: JobRunner,
) -> None:
    created = await create()
    listed = (await client.get(KEYS, headers=owner)).json()
    assert listed == [{name: value for name, value in created.items() if name != "key"}]
    async with session_factory() as session:
        stored = (await session.execute(select(*UserApiKey.__table__.columns))).one()
    secret = created["key"].rpartition(created["prefix"])[2]
    assert secret not in f"{stored} {await jobs.waiting()}"


async def test_the_owner_gets_a_mail(create: Create, jobs: JobRunner, mails: list[Mail]) -> None:
    created = await create(name="Backup & more")
    await jobs.run()
    [mail] = mails
    assert mail.to == f"{OWNER}@example.com"
    assert created["prefix"] in mail.text
    assert "Backup &amp; more" in mail.html


async def test_the_keys_of_others_are_missing(
    client: httpx2.AsyncClient, create: Create, authorize: Authorize
) -> None:
    created = await create()
    other = await authorize("test:read")
    assert (await client.get(KEYS, headers=other)).json() == []
    response = await client.delete(f"{KEYS}/{created['id']}", headers=other)
    assert response.status_code == 404
    assert (await client.delete(KEYS, headers=other)).status_code == 204
    assert await read_status(client, created) == 200


async def test_the_number_of_keys_is_limited(
    client: httpx2.AsyncClient,
    create: Create,
    owner: dict[str, str],
    session_factory: SessionFactory,
) -> None:
    await create()
    async with session_factory.begin() as session:
        row = (await session.scalars(select(UserApiKey))).one()
        copied = {"user_id": OWNER, "name": "", "prefix": "", "scopes": []}
        session.add_all(
            UserApiKey(**copied, key_hash=f"{number:064}", expires_at=row.expires_at)
            for number in range(MAX_KEYS - 1)
        )
    assert (await client.post(KEYS, json=BODY, headers=owner)).status_code == 409
    # Or a caller could store any number, each of which expires after a second.
    async with session_factory.begin() as session:
        await session.execute(update(UserApiKey).values(expires_at=utc_now()))
    assert (await client.post(KEYS, json=BODY, headers=owner)).status_code == 409
    async with session_factory.begin() as session:
        await delete_all_expired(session)
    assert (await client.post(KEYS, json=BODY, headers=owner)).status_code == 201


def is_not_accepted(response: httpx2.Response) -> bool:
    return (
        response.status_code == 403
        and "API keys are not accepted" in response.json()["detail"]
        and response.headers.get("WWW-Authenticate") == 'Bearer error="insufficient_scope"'
    )


def account_operations(app: FastAPI) -> list[tuple[str, str]]:
    paths = app.openapi()["paths"]
    return [
        (method, path.replace("{", "").replace("}", ""))
        for path, operations in paths.items()
        if path.startswith(("/api/v1/auth", "/api/v1/users"))
        for method, operation in operations.items()
        if operation.get("security")
    ]


async def test_no_operation_on_accounts_accepts_keys(
    client: httpx2.AsyncClient, create: Create, app: FastAPI, session_factory: SessionFactory
) -> None:
    everything = {"test:read", "user:read", "user:write"}
    app.state.role_scopes.roles["all"] = everything
    created = await create()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(roles=["all"]))
        await session.execute(update(UserApiKey).values(scopes=sorted(everything)))
    operations = account_operations(app)
    assert ("post", KEYS) in operations
    for method, path in operations:
        url = "/".join(str(UUID(int=1)) if "_id" in part else part for part in path.split("/"))
        response = await client.request(method, url, headers=bearer(created))
        assert is_not_accepted(response), (method, path)


async def test_an_operation_without_a_scope_does_not_accept_keys(
    client: httpx2.AsyncClient, create: Create, owner: dict[str, str]
) -> None:
    assert (await client.get("/test/caller", headers=owner)).status_code == 200
    assert is_not_accepted(await client.get("/test/caller", headers=bearer(await create())))


async def test_a_service_that_needs_a_recent_login_does_not_accept_keys(
    client: httpx2.AsyncClient, create: Create, app: FastAPI, owner: dict[str, str]
) -> None:
    @app.post("/test/sensitive", dependencies=[require("test:read")])
    async def change(session: SessionDep, caller: Caller) -> None:
        await require_recent_login(session, caller)

    assert (await client.post("/test/sensitive", headers=owner)).status_code == 200
    assert is_not_accepted(await client.post("/test/sensitive", headers=bearer(await create())))


def add_scoped_operations(app: FastAPI) -> None:
    """Add operations whose scope is required in each of the places where that is possible."""

    async def read(_: Caller) -> None: ...

    async def read_with_scope(_: Annotated[Principal, require("test:read")]) -> None: ...

    required = [require("test:read")]
    routers = [APIRouter(prefix="/test/1", dependencies=required)]
    routers += [APIRouter(prefix=f"/test/{number}") for number in (2, 3)]
    for router in routers:
        router.get("/router")(read)
    app.include_router(routers[0])
    app.include_router(routers[1], dependencies=required)
    outer = APIRouter(prefix="/test", dependencies=required)
    outer.include_router(routers[2])
    app.include_router(outer)
    app.get("/test/route", dependencies=required)(read)
    app.get("/test/parameter")(read_with_scope)


SCOPED = ["1/router", "2/router", "test/3/router", "route", "parameter"]


@pytest.mark.parametrize("path", SCOPED)
async def test_keys_are_accepted_wherever_a_scope_is_required(
    client: httpx2.AsyncClient, create: Create, app: FastAPI, path: str
) -> None:
    add_scoped_operations(app)
    response = await client.get(f"/test/{path}", headers=bearer(await create()))
    assert response.status_code == 200, response.text
    other = await create(scopes=["test:write"])
    assert (await client.get(f"/test/{path}", headers=bearer(other))).status_code == 403


@pytest.mark.parametrize("change", ["", "0", "last", "secret", "\x00"])
async def test_a_wrong_key_is_rejected(
    client: httpx2.AsyncClient, create: Create, change: str
) -> None:
    key = (await create())["key"]
    wrong = {"last": key[:-1], "secret": key[:-43] + "A" * 43}.get(change, f"x{change}{key}")
    headers = {b"Authorization": f"Bearer {wrong}".encode()}
    response = await client.get("/test/things", headers=headers)
    assert response.status_code == 401
    assert wrong not in response.text


async def test_a_key_in_a_cookie_is_rejected(client: httpx2.AsyncClient, create: Create) -> None:
    created = await create()
    cookie = {"Cookie": f"{COOKIE}={created['key']}"}
    assert (await client.get("/test/things", headers=cookie)).status_code == 401
    both = bearer(created) | cookie
    assert (await client.get("/test/things", headers=both)).status_code == 401


async def test_a_key_beside_a_session_is_rejected(
    client: httpx2.AsyncClient, create: Create, owner: dict[str, str]
) -> None:
    cookie = {"Cookie": f"{COOKIE}={owner['Authorization'].removeprefix('Bearer ')}"}
    headers = bearer(await create()) | cookie
    assert (await client.get("/test/things", headers=headers)).status_code == 401


async def test_authentication_is_one_statement(
    client: httpx2.AsyncClient, create: Create, statement_limit: StatementLimit
) -> None:
    created = await create()
    # Records the use.
    assert await read_status(client, created) == 200
    with statement_limit(1):
        assert await read_status(client, created) == 200


async def last_use(sessions: SessionFactory) -> datetime:
    async with sessions() as session:
        used_at = (await session.scalars(select(UserApiKey.last_used_at))).one()
    assert used_at
    return used_at


async def test_the_first_use_is_recorded(
    client: httpx2.AsyncClient, create: Create, session_factory: SessionFactory
) -> None:
    created, before = await create(), utc_now()
    assert await read_status(client, created) == 200
    assert await last_use(session_factory) >= before


@pytest.mark.parametrize(("minutes", "is_recorded"), [(4, False), (6, True)])
async def test_use_is_recorded_every_few_minutes(
    client: httpx2.AsyncClient,
    create: Create,
    session_factory: SessionFactory,
    minutes: int,
    is_recorded: bool,
) -> None:
    created, before = await create(), utc_now() - timedelta(minutes=minutes)
    async with session_factory.begin() as session:
        await session.execute(update(UserApiKey).values(last_used_at=before))
    assert await read_status(client, created) == 200
    assert (await last_use(session_factory) > before) is is_recorded


async def test_a_use_that_cannot_be_recorded_fails_no_request(
    client: httpx2.AsyncClient, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("read-only"))

    created = await create()
    monkeypatch.setattr(authentication, "touch_api_key", fail)
    with structlog.testing.capture_logs() as logs:
        assert await read_status(client, created) == 200
    assert "use of credentials not recorded" in [line["event"] for line in logs]


async def test_security_events_are_in_the_audit_log(
    client: httpx2.AsyncClient, create: Create, owner: dict[str, str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        created = await create()
        await client.get("/test/caller", headers=bearer(created))
        await client.delete(f"{KEYS}/{created['id']}", headers=owner)
    events = [line["event"] for line in logs if line.get("audit")]
    assert events == ["API key created", "API key rejected", "API key revoked"]
    assert created["key"] not in str(logs)
