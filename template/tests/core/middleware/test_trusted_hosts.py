from collections.abc import Callable

import pytest
from fastapi import FastAPI

from app.core.settings import SettingsError
from tests.conftest import connect

HOSTS = "example.com, *.example.org, [::1]"


async def test_any_host_is_trusted_by_default(app: FastAPI) -> None:
    async with connect(app) as client:
        response = await client.get("/missing", headers={"Host": "anything"})
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("example.com", True),
        ("EXAMPLE.com:8000", True),
        ("a.b.example.org", True),
        ("[::1]:8000", True),
        ("www.example.com", False),
        ("example.org", False),
        ("example.com.evil.test", False),
        ("example.com@evil.test", False),
        ("evil.test/example.com", False),
        ("10.0.0.7:8000", False),
    ],
)
async def test_untrusted_hosts_are_rejected_with_400(
    configured_app: Callable[..., FastAPI], host: str, trusted: bool
) -> None:
    async with connect(configured_app(TRUSTED_HOSTS=HOSTS)) as client:
        response = await client.get("/missing", headers={"Host": host})
    assert response.status_code == (404 if trusted else 400)
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("root", ["", "/service"])
async def test_probes_accept_any_host(configured_app: Callable[..., FastAPI], root: str) -> None:
    app = configured_app(TRUSTED_HOSTS="example.com")
    app.root_path = root
    async with connect(app) as client:
        address = {"Host": "10.0.0.7:8000"}
        assert (await client.get(f"{root}/health/ready", headers=address)).status_code == 200
        for path in ("/healthy", "/health/live/", "/health/ready/more", "/health/"):
            response = await client.get(f"{root}{path}", headers=address)
            assert response.status_code == 400, path


@pytest.mark.parametrize(
    "host",
    ["https://example.com", "example.com:80", "example.com/", "a.*.com", "*example.com", "a..b"],
)
def test_an_invalid_host_prevents_startup_with_one_line(
    configured_app: Callable[..., FastAPI], host: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        configured_app(TRUSTED_HOSTS=f"example.org,{host}")
    [line] = str(caught.value).splitlines()
    assert line.startswith("TRUSTED_HOSTS=")
    assert f"invalid host {host!r}" in line
