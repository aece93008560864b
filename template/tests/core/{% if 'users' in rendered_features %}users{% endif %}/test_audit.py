"""The audit log: no line tells of a success that was not stored."""

import ast
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
import structlog
from sqlalchemy import Connection, delete, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from app.core.database import SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.settings import PROJECT_ROOT
from app.core.users.models import UserAccount, UserSession, UserThrottle
from tests.core.users.conftest import AUTH, CREDENTIALS, NEW_PASSWORD, PASSWORD

CHANGE = {"current_password": PASSWORD, "password": NEW_PASSWORD}
# Events that are logged at once: they are true although nothing is stored.
AT_ONCE = {
    "API key rejected",
    "access denied",
    "attempt throttled",
    "cross-site request rejected",
    "login failed",
    "passkey may have been copied",
    "passkey rejected",
    "provider login failed",
    "provider login rejected",
    "second factor failed",
    "wrong current password",
}


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in (UserAccount, UserThrottle, QueuedJob):
            await session.execute(delete(model))


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        yield logs


@pytest.fixture
def lost_sessions(engine: AsyncEngine) -> Iterator[None]:
    """Close the connection before the COMMIT of each transaction that starts a session."""

    def watch(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO user_session "):
            connection.info["starts_session"] = True
        # On SQLite, a statement; elsewhere, drivers send it.
        if statement == "COMMIT":
            lose(connection)

    def lose(connection: Connection) -> None:
        if connection.info.pop("starts_session", False):
            closing = connection.connection.driver_connection.close()  # type: ignore[union-attr]
            if inspect.isawaitable(closing):
                await_only(closing)

    listeners: dict[str, Callable[..., None]] = {"before_cursor_execute": watch, "commit": lose}
    for name, listener in listeners.items():
        event.listen(engine.sync_engine, name, listener)
    yield
    for name, listener in listeners.items():
        event.remove(engine.sync_engine, name, listener)


def audited(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line.get("audit")]


async def count_sessions(session_factory: SessionFactory) -> int | None:
    async with session_factory() as session:
        return await session.scalar(select(func.count()).select_from(UserSession))


async def test_a_login_that_is_not_committed_is_not_in_the_log(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    logs: list[Any],
    lost_sessions: None,
) -> None:
    response = await client.post(f"{AUTH}/login", json=CREDENTIALS)
    assert response.status_code == 504
    assert "Set-Cookie" not in response.headers
    assert await count_sessions(session_factory) == 0
    assert audited(logs) == []


async def test_no_event_of_an_uncommitted_request_is_in_the_log(
    logged_in: httpx2.AsyncClient, logs: list[Any], lost_sessions: None
) -> None:
    response = await logged_in.post(f"{AUTH}/change-password", json=CHANGE)
    assert response.status_code == 504
    assert audited(logs) == []
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 200


async def test_after_the_commit_events_have_the_context_of_their_request(
    logged_in: httpx2.AsyncClient, ada: UserAccount, logs: list[Any]
) -> None:
    response = await logged_in.post(f"{AUTH}/change-password", json=CHANGE)
    assert response.status_code == 200
    lines = audited(logs)
    assert [line["event"] for line in lines] == ["password changed", "login"]
    for line in lines:
        assert line["user_id"] == str(ada.id)
        assert line["request_id"] == response.headers["X-Request-ID"]


async def test_failures_are_logged_although_they_are_rolled_back(
    client: httpx2.AsyncClient, ada: UserAccount, logs: list[Any]
) -> None:
    await client.post(f"{AUTH}/login", json=CREDENTIALS | {"password": "wrong"})
    assert [line["event"] for line in audited(logs)] == ["login failed"]


def test_only_failures_are_logged_at_once() -> None:
    found = {
        call.args[0].value if isinstance(call.args[0], ast.Constant) else path.name
        for path in (PROJECT_ROOT / "app").rglob("*.py")
        if path.is_relative_to(PROJECT_ROOT / "app/core/users") or path.name == "manage_users.py"
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit"
    }
    assert found == AT_ONCE
