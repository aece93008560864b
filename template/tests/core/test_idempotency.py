import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated, Any, TypeAlias
from uuid import uuid4

import httpx2
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Delete, MetaData, event, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.core.database import SessionDep, SessionFactory, create_session_factory
from app.core.database_errors import OutcomeUnknownError
from app.core.errors import ConflictError
from app.core.idempotency import claim as idempotency_claim
from app.core.idempotency.claim import DELETED_PER_KEY, get_idempotency_settings
from app.core.idempotency.record import IdempotencyRecord
from app.core.idempotency.routes import idempotent
from app.core.models import Base, utc_now
from app.core.settings import SettingsError

# Separate from the application's models, which the migrations are compared with.
METADATA = MetaData(naming_convention=Base.metadata.naming_convention)
WRITE = text("INSERT INTO test__written (id) VALUES (:id)")

Post: TypeAlias = Callable[..., Any]


class Record(IdempotencyRecord):
    __tablename__ = "test__key"
    metadata = METADATA


@pytest.fixture
def session_factory(engine: AsyncEngine) -> SessionFactory:
    """Sessions that commit to the database."""
    return create_session_factory(engine)


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine) -> AsyncIterator[None]:
    get_idempotency_settings.cache_clear()
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(text("CREATE TABLE test__written (id VARCHAR(36) PRIMARY KEY)"))
    yield
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE test__written"))
        await connection.run_sync(METADATA.drop_all)
    get_idempotency_settings.cache_clear()


@pytest.fixture
def router(app: FastAPI) -> APIRouter:
    return APIRouter(route_class=idempotent(Record))


@pytest.fixture(autouse=True)
def write(app: FastAPI, router: APIRouter) -> None:
    @router.post("/write", status_code=201)
    async def write(session: SessionDep, response: Response, data: Annotated[str, Body()]) -> str:
        if data == "rejected":
            raise ConflictError("The item is sold.")
        made = str(uuid4())
        await session.execute(WRITE, {"id": made})
        response.headers["ETag"] = f'"{made}"'
        response.headers["Location"] = f"/write/{made}"
        response.set_cookie("secret", made)
        return made

    app.include_router(router)


@pytest.fixture
def post(lenient_client: httpx2.AsyncClient) -> Post:
    def post(path: str = "/write", data: Any = "a", key: str = "key", **headers: str) -> Any:
        return lenient_client.post(path, json=data, headers={"Idempotency-Key": key, **headers})

    return post


async def count(engine: AsyncEngine, table: str = "test__written") -> int | None:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(text(table)))


async def test_repeated_request_gets_the_first_response(post: Post, engine: AsyncEngine) -> None:
    first, second = await post(), await post()
    assert first.status_code == second.status_code == 201
    assert second.content == first.content
    for name in ("ETag", "Location", "Content-Type", "Content-Length"):
        assert second.headers[name] == first.headers[name]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Set-Cookie" not in second.headers
    assert await count(engine) == 1


async def test_requests_without_or_with_different_keys_are_independent(
    client: httpx2.AsyncClient, post: Post, engine: AsyncEngine
) -> None:
    for _ in range(2):
        assert (await client.post("/write", json="a")).status_code == 201
    assert await count(engine, "test__key") == 0
    assert (await post(key="one")).content != (await post(key="other")).content
    assert await count(engine) == 4


@pytest.mark.parametrize(
    "other", [{"data": "b"}, {"path": "/write?q=1"}, {"Authorization": "Bearer other"}]
)
async def test_key_of_a_different_request_is_rejected_with_422(
    post: Post, engine: AsyncEngine, other: dict[str, str]
) -> None:
    await post()
    response = await post(**other)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"location": ["header", "idempotency-key"], "reason": "was used for a different request"}
    ]
    assert await count(engine) == 1


@pytest.mark.parametrize(
    "key", ["", "k" * 256, "\t", "é".encode()], ids=["empty", "long", "tab", "é"]
)
async def test_invalid_key_is_rejected_with_422(post: Post, engine: AsyncEngine, key: str) -> None:
    response = await post(key=key)
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["header", "idempotency-key"]
    assert await count(engine) == 0


async def test_key_of_a_request_in_progress_is_rejected_with_409(
    app: FastAPI, router: APIRouter, post: Post
) -> None:
    started, resume = asyncio.Event(), asyncio.Event()

    @router.post("/wait")
    async def wait(session: SessionDep) -> None:
        started.set()
        await resume.wait()

    first = asyncio.create_task(post("/wait"))
    await started.wait()
    second = await post("/wait")
    assert second.status_code == 409
    assert second.headers["Retry-After"] == "1"
    assert (await post("/wait", data="b")).status_code == 422
    resume.set()
    assert (await first).status_code == 200
    assert (await post("/wait")).headers["Idempotency-Replayed"] == "true"


async def test_concurrent_requests_with_one_key_write_once(post: Post, engine: AsyncEngine) -> None:
    responses = await asyncio.gather(*(post() for _ in range(20)))
    created = [response for response in responses if response.status_code == 201]
    rejected = [response for response in responses if response.status_code != 201]
    assert all((one.status_code, one.headers["Retry-After"]) == (409, "1") for one in rejected)
    assert len({response.content for response in created}) == 1
    assert sum("Idempotency-Replayed" not in response.headers for response in created) == 1
    assert await count(engine) == 1
    assert (await post()).content == created[0].content


async def test_failed_request_releases_its_key(post: Post, engine: AsyncEngine) -> None:
    assert (await post(data="rejected")).status_code == 409
    assert await count(engine, "test__key") == 0
    assert (await post(data={"not": "text"})).status_code == 422
    assert await count(engine, "test__key") == 0
    assert (await post()).status_code == 201


@pytest.mark.parametrize(
    ("error", "kept"), [(LookupError(), 0), (OutcomeUnknownError("it was lost"), 1)]
)
async def test_failed_commit_releases_its_key_unless_its_outcome_is_unknown(
    post: Post, router: APIRouter, engine: AsyncEngine, error: Exception, kept: int
) -> None:
    @router.post("/fail")
    async def fail(session: SessionDep) -> None:
        await session.execute(WRITE, {"id": "1"})

        def reject(_: object) -> None:
            raise error

        event.listen(session.sync_session, "before_commit", reject)

    assert (await post("/fail")).status_code == (504 if kept else 500)
    assert await count(engine, "test__key") == kept
    assert await count(engine) == 0
    if kept:
        assert (await post("/fail")).status_code == 409


async def test_cancelled_request_releases_its_key(
    post: Post, router: APIRouter, engine: AsyncEngine
) -> None:
    @router.post("/slow")
    async def slow(session: SessionDep) -> None:
        await session.execute(WRITE, {"id": "1"})
        await asyncio.sleep(60)

    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await post("/slow")
    assert await count(engine, "test__key") == 0
    assert await count(engine) == 0


async def test_request_writes_nothing_after_its_lease_was_taken_over(
    post: Post, router: APIRouter, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDEMPOTENCY_LEASE", "0.1")
    started, resume = asyncio.Event(), asyncio.Event()

    @router.post("/wait")
    async def wait(session: SessionDep) -> str:
        is_first = not started.is_set()
        started.set()
        if is_first:
            await resume.wait()
        await session.execute(WRITE, {"id": "first" if is_first else "second"})
        return "first" if is_first else "second"

    first = asyncio.create_task(post("/wait"))
    await started.wait()
    await asyncio.sleep(0.2)
    assert (await post("/wait")).json() == "second"
    resume.set()
    assert (await first).status_code == 409
    assert (await post("/wait")).json() == "second"
    assert await count(engine) == 1


async def test_expired_response_is_not_replayed(
    post: Post, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDEMPOTENCY_TTL", "0.1")
    first = await post()
    await asyncio.sleep(0.2)
    second = await post(data="b")
    assert second.status_code == 201
    assert second.content != first.content
    assert await count(engine) == 2


@pytest.mark.parametrize("data", ["a", "b"], ids=["same body", "other body"])
async def test_concurrent_requests_with_an_expired_key_write_once(
    post: Post, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setenv("IDEMPOTENCY_TTL", "0.1")
    first = await post()
    await asyncio.sleep(0.2)
    monkeypatch.delenv("IDEMPOTENCY_TTL")
    get_idempotency_settings.cache_clear()
    responses = await asyncio.gather(*(post(data=data) for _ in range(8)))
    created = {response.content for response in responses if response.status_code == 201}
    assert {response.status_code for response in responses} <= {201, 409}
    assert len(created) == 1
    assert first.content not in created
    assert await count(engine) == 2


async def test_key_is_claimed_after_authentication(
    post: Post, router: APIRouter, engine: AsyncEngine
) -> None:
    allowed = True

    def authenticate() -> str:
        if not allowed:
            raise ConflictError("The caller is unknown.")
        return "ada"

    @router.post("/private")
    async def private(session: SessionDep, user: Annotated[str, Depends(authenticate)]) -> str:
        return user

    assert (await post("/private")).json() == "ada"
    allowed = False
    assert (await post("/private")).status_code == 409
    assert (await post("/private", key="other")).status_code == 409
    assert await count(engine, "test__key") == 1


async def test_synchronous_endpoint_is_replayed(post: Post, router: APIRouter) -> None:
    @router.post("/sync")
    def make() -> str:
        return str(uuid4())

    assert (await post("/sync")).content == (await post("/sync")).content


async def test_failure_to_release_a_key_does_not_hide_the_error(
    post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    execute = AsyncSession.execute

    async def hang(session: AsyncSession, statement: Any, *arguments: Any) -> Any:
        if isinstance(statement, Delete):
            await asyncio.sleep(60)
        return await execute(session, statement, *arguments)

    monkeypatch.setattr(idempotency_claim, "RELEASE_TIMEOUT", 0.1)
    monkeypatch.setattr(AsyncSession, "execute", hang)
    async with asyncio.timeout(10):
        response = await post(data="rejected")
    assert response.json()["detail"] == "The item is sold."
    assert "is locked until its lease ends" in caplog.text


@pytest.mark.parametrize("value", ["inf", "24h", "0"])
def test_invalid_setting_prevents_startup(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("IDEMPOTENCY_TTL", value)
    with pytest.raises(SettingsError, match=f"IDEMPOTENCY_TTL='{value}': "):
        idempotent(Record)


async def test_each_new_key_deletes_a_few_expired_ones(post: Post, engine: AsyncEngine) -> None:
    rows = [
        {"key": f"{number}", "fingerprint": "", "claim": uuid4(), "expires_at": utc_now()}
        for number in range(DELETED_PER_KEY + 2)
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(Record), rows)
    await post(key="one")
    assert await count(engine, "test__key") == 3
    await post(key="other")
    assert await count(engine, "test__key") == 2


async def test_response_without_a_transaction_is_replayed(post: Post, router: APIRouter) -> None:
    calls = []

    @router.post("/count")
    async def call(data: Annotated[str, Body()]) -> int:
        calls.append(data)
        return len(calls)

    assert [(await post("/count")).json() for _ in range(2)] == [1, 1]


async def test_streaming_response_with_a_key_is_a_server_error(
    post: Post, router: APIRouter, engine: AsyncEngine
) -> None:
    @router.post("/stream")
    async def stream(session: SessionDep) -> StreamingResponse:
        await session.execute(WRITE, {"id": "1"})
        return StreamingResponse(iter("12"))

    assert (await post("/stream")).status_code == 500
    assert await count(engine) == await count(engine, "test__key") == 0


def test_header_is_documented_for_post_only(app: FastAPI, router: APIRouter) -> None:
    @router.get("/read")
    async def read() -> None: ...

    app.openapi_schema = None
    paths = app.openapi()["paths"]
    [parameter] = paths["/write"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("idempotency-key", "header")
    assert not parameter["required"]
    assert "parameters" not in paths["/read"]["get"]
