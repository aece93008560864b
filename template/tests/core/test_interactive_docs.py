import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256

import httpx2
import pytest
from fastapi import FastAPI

from tests.conftest import connect


@pytest.mark.parametrize("root", ["", "/service"])
async def test_the_docs_page_loads_only_local_files(app: FastAPI, root: str) -> None:
    app.root_path = root
    async with connect(app) as client:
        page = (await client.get(f"{root}/docs")).raise_for_status().text
        assert "://" not in page
        links = re.findall(r'(?:href|src)="([^"]*)"', page)
        [schema] = re.findall(r"url: '([^']*)'", page)
        assert schema == f"{root}/openapi.json"
        assert len(links) == 3
        for link in [*links, schema, f"{root}/docs/oauth2-redirect"]:
            assert (await client.get(link)).status_code == 200, link
    assert '"validatorUrl": null' in page


async def test_the_docs_page_restricts_scripts(client: httpx2.AsyncClient) -> None:
    for path in ("/docs", "/docs/oauth2-redirect"):
        response = await client.get(path)
        [script] = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
        digest = b64encode(sha256(script.encode()).digest()).decode()
        policies = response.headers.get_list("Content-Security-Policy")
        assert len(policies) == 1
        assert f"script-src 'self' 'sha256-{digest}';" in policies[0]
        assert "unsafe-eval" not in policies[0]


async def test_swagger_ui_supports_the_openapi_version(client: httpx2.AsyncClient) -> None:
    version = (await client.get("/openapi.json")).json()["openapi"]
    script = (await client.get("/docs/assets/swagger-ui-bundle.js")).text
    assert version.startswith("3.1.")
    [found] = re.findall(r'PACKAGE_VERSION:"(\d+)\.', script)
    assert int(found) >= 5


async def test_the_documentation_can_be_disabled(
    configured_app: Callable[..., FastAPI],
) -> None:
    async with connect(configured_app(DOCS_ENABLED="false")) as client:
        for path in ("/docs", "/openapi.json", "/redoc", "/docs/assets/swagger-ui.css"):
            response = await client.get(path)
            assert response.status_code == 404
            assert response.headers["Content-Type"] == "application/problem+json"
