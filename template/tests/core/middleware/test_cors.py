from collections.abc import Callable

import pytest
from fastapi import FastAPI

from app.core.settings import SettingsError
from tests.conftest import connect

PAGE = {"Origin": "https://app.example.com"}
PREFLIGHT = PAGE | {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "if-match",
}


async def test_cors_is_disabled_by_default(app: FastAPI) -> None:
    async with connect(app) as client:
        response = await client.get("/health/live", headers=PAGE)
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_listed_origins_are_allowed(configured_app: Callable[..., FastAPI]) -> None:
    app = configured_app(
        CORS_ALLOW_ORIGINS="https://example.org, https://app.example.com,",
        CORS_ALLOW_CREDENTIALS="true",
    )
    async with connect(app) as client:
        response = await client.get("/health/live", headers=PAGE)
        preflight = await client.options("/health/live", headers=PREFLIGHT)
        stranger = await client.get("/health/live", headers={"Origin": "https://example.com"})
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Link", "Retry-After", "X-Request-ID"} <= set(exposed)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "if-match"
    assert "Access-Control-Allow-Origin" not in stranger.headers


@pytest.mark.parametrize(
    ("host", "allowed"), [("pr-7.example.com", True), ("pr-7.example.com.evil.test", False)]
)
async def test_the_origin_pattern_matches_whole_origins(
    configured_app: Callable[..., FastAPI], host: str, allowed: bool
) -> None:
    app = configured_app(CORS_ALLOW_ORIGIN_REGEX=r"https://pr-\d+\.example\.com")
    async with connect(app) as client:
        response = await client.get("/health/live", headers={"Origin": f"https://{host}"})
    assert ("Access-Control-Allow-Origin" in response.headers) == allowed


async def test_error_responses_have_cors_headers(configured_app: Callable[..., FastAPI]) -> None:
    app = configured_app(CORS_ALLOW_ORIGINS="*")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    async with connect(app, raise_errors=False) as client:
        response = await client.get("/broken", headers=PAGE)
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"CORS_ALLOW_ORIGINS": "*", "CORS_ALLOW_CREDENTIALS": "true"},
            "CORS_ALLOW_CREDENTIALS='true': ",
        ),
        ({"CORS_ALLOW_ORIGINS": "https://example.com/"}, "without a path"),
        ({"CORS_ALLOW_ORIGINS": "example.com"}, "invalid origin 'example.com'"),
        ({"CORS_ALLOW_ORIGINS": "https://*.example.com"}, "invalid origin"),
        ({"CORS_ALLOW_ORIGIN_REGEX": "("}, "CORS_ALLOW_ORIGIN_REGEX='\\(': "),
    ],
)
def test_an_invalid_setting_prevents_startup_with_one_line(
    configured_app: Callable[..., FastAPI], variables: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        configured_app(**variables)
    assert len(str(caught.value).splitlines()) == 1


PATTERNS = {
    r"https://app\.example\.com": True,
    r"^https://pr-\d+\.example\.com$": True,
    r"https://([a-z0-9-]+\.)?example\.com": True,
    r"https://(app\.)?example\.com": True,
    r"https://[a-z]+\.app\.example\.com": True,
    r"https?://((app|admin)\.)?example\.com(:\d+)?": True,
    r"https://(app|admin)\.example\.com|http://localhost:\d+": True,
    r"https://.*": False,
    r"https://.*example\.com": False,
    r"https://[a-z0-9-]+example\.com": False,
    r"https://app.example.com": False,
    r"https://.*\.com": False,
    r"https://.*example\.co\.uk": False,
    r"https://[a-z]*shop\.cloud\.example\.net": False,
    r"https://(.*)shop\.cloud\.example\.net": False,
    r"https://\d+-shop\.example\.net": False,
    r"https://.*\.?example\.com": False,
    r"https://.*([a-z]+\.)?example\.com": False,
    r"https://([a-z]+|app\.)?example\.com": False,
    r"https://app\.example\.com|.*": False,
    r"https://app\.example\.com.*": False,
    r"https://.*[\.example\.com:[0-9]+": False,
    "(?x)https://.*# \\.example\\.com": False,
    "https://(?x:.*#\\.)\n)example\\.com": False,
}


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize(("pattern", "accepted"), PATTERNS.items())
def test_with_credentials_the_origin_pattern_must_end_with_a_literal_domain(
    configured_app: Callable[..., FastAPI], pattern: str, accepted: bool
) -> None:
    variables = {"CORS_ALLOW_ORIGIN_REGEX": pattern, "CORS_ALLOW_CREDENTIALS": "true"}
    if accepted:
        configured_app(**variables)
        return
    with pytest.raises(SettingsError, match="can match other sites") as caught:
        configured_app(**variables)
    assert len(str(caught.value).splitlines()) == 1


async def test_without_credentials_any_origin_pattern_is_allowed(
    configured_app: Callable[..., FastAPI],
) -> None:
    async with connect(configured_app(CORS_ALLOW_ORIGIN_REGEX=r"https://.*example\.com")) as client:
        response = await client.get("/health/live", headers=PAGE)
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
