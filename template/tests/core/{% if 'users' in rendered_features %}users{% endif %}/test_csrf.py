"""Pages of other sites cannot use the cookies of their visitors."""

from collections.abc import Callable

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection

from app.core.auth.requirements import Caller
from app.core.users.authentication import COOKIE
from app.core.users.csrf import CrossSiteError, reject_cross_site
from tests.conftest import connect
from tests.core.auth.callers import Authorize

TRUSTED = "https://app.test"


@pytest.fixture
def app(configured_app: Callable[..., FastAPI]) -> FastAPI:
    app = configured_app(CORS_ALLOW_ORIGINS=TRUSTED, CORS_ALLOW_CREDENTIALS="true")

    @app.api_route("/test/caller", methods=["GET", "POST", "DELETE"])
    async def call(caller: Caller) -> str:
        return caller.id

    @app.post("/test/login", dependencies=[Depends(reject_cross_site)])
    async def login() -> None: ...

    return app


@pytest.fixture
async def cookie(authorize: Authorize) -> dict[str, str]:
    headers = await authorize()
    return {"Cookie": f"{COOKIE}={headers['Authorization'].removeprefix('Bearer ')}"}


CASES = [
    ({}, 200),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "unknown"}, 403),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://test"}, 200),
    # The browser decides what the origin is; scripts cannot set either header.
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://test"}, 403),
    ({"Sec-Fetch-Site": "same-site", "Origin": TRUSTED}, 200),
    ({"Sec-Fetch-Site": "cross-site", "Origin": TRUSTED}, 200),
    ({"Origin": TRUSTED}, 200),
    ({"Origin": "http://test"}, 200),
    ({"Origin": "http://test:8000"}, 403),
    ({"Origin": "https://evil.test"}, 403),
    ({"Origin": "https://app.test.evil.test"}, 403),
    ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403),
    ({"Origin": ""}, 403),
    # What no browser sends.
    ({"Origin": "http://["}, 403),
    ({"Origin": "//["}, 403),
    ({"Origin": "http://a]b"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), CASES)
async def test_unsafe_requests_with_a_cookie(
    client: httpx2.AsyncClient, cookie: dict[str, str], headers: dict[str, str], status: int
) -> None:
    for method in ("POST", "DELETE"):
        response = await client.request(method, "/test/caller", headers=cookie | headers)
        assert response.status_code == status


@pytest.mark.parametrize(("headers", "status"), CASES)
async def test_operations_that_set_cookies(
    client: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    assert (await client.post("/test/login", headers=headers)).status_code == status


@pytest.mark.parametrize("headers", [headers for headers, _ in CASES])
async def test_safe_requests_are_allowed(
    client: httpx2.AsyncClient, cookie: dict[str, str], headers: dict[str, str]
) -> None:
    assert (await client.get("/test/caller", headers=cookie | headers)).status_code == 200


@pytest.mark.parametrize("headers", [headers for headers, _ in CASES])
async def test_bearer_tokens_are_sent_by_no_browser_on_its_own(
    client: httpx2.AsyncClient, authorize: Authorize, headers: dict[str, str]
) -> None:
    authorization = await authorize()
    response = await client.post("/test/caller", headers=authorization | headers)
    assert response.status_code == 200


async def test_origins_without_credentials_are_not_trusted(
    configured_app: Callable[..., FastAPI],
) -> None:
    app = configured_app(CORS_ALLOW_ORIGINS=TRUSTED, CORS_ALLOW_CREDENTIALS="false")

    @app.post("/test/login", dependencies=[Depends(reject_cross_site)])
    async def login() -> None: ...

    async with connect(app) as client:
        response = await client.post("/test/login", headers={"Origin": TRUSTED})
    assert response.status_code == 403


async def test_origins_that_match_the_pattern_are_trusted(
    configured_app: Callable[..., FastAPI],
) -> None:
    app = configured_app(
        CORS_ALLOW_ORIGIN_REGEX=r"https://[a-z0-9-]+\.example\.com", CORS_ALLOW_CREDENTIALS="true"
    )

    @app.post("/test/login", dependencies=[Depends(reject_cross_site)])
    async def login() -> None: ...

    for origin, status in [("https://pr-1.example.com", 200), ("https://example.com.evil", 403)]:
        async with connect(app) as client:
            response = await client.post("/test/login", headers={"Origin": origin})
        assert response.status_code == status


async def test_a_websocket_of_a_page_of_another_site_is_rejected(app: FastAPI) -> None:
    headers = [(b"host", b"test"), (b"origin", b"https://evil.test")]
    scope = {"type": "websocket", "headers": headers, "app": app}
    with pytest.raises(CrossSiteError):
        await reject_cross_site(HTTPConnection(scope))
    await reject_cross_site(HTTPConnection(scope | {"headers": headers[:1]}))
