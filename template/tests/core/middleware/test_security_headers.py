from collections.abc import Callable

import pytest
from fastapi import FastAPI, Response

from tests.conftest import connect

EXPECTED = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def fail() -> None:
    raise RuntimeError


@pytest.mark.parametrize(
    ("path", "host", "statuses"),
    [
        ("/health/live", "test", {200}),
        ("/missing", "test", {404}),
        ("/fail", "test", {500}),
        # A project may have no trusted hosts.
        ("/missing", "evil.test", {400, 404}),
    ],
)
async def test_every_response_has_the_security_headers(
    configured_app: Callable[..., FastAPI], path: str, host: str, statuses: set[int]
) -> None:
    app = configured_app(TRUSTED_HOSTS="test")
    app.get("/fail")(fail)
    async with connect(app, raise_errors=False) as client:
        response = await client.get(path, headers={"Host": host})
    assert response.status_code in statuses
    assert {name: response.headers.get(name) for name in EXPECTED} == EXPECTED


async def test_a_route_can_override_security_headers(app: FastAPI) -> None:
    @app.get("/framed")
    async def framed() -> Response:
        return Response(headers={"X-Frame-Options": "SAMEORIGIN"})

    async with connect(app) as client:
        response = await client.get("/framed")
    assert response.headers.get_list("X-Frame-Options") == ["SAMEORIGIN"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_hsts_is_sent_over_https_only(
    configured_app: Callable[..., FastAPI],
) -> None:
    app = configured_app(SECURITY_HEADERS_HSTS_MAX_AGE="60")
    async with connect(app) as client:
        assert "Strict-Transport-Security" not in (await client.get("/health/live")).headers
    async with connect(app, "https://test") as client:
        response = await client.get("/health/live")
    assert response.headers["Strict-Transport-Security"] == "max-age=60"
