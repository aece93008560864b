"""Interactive documentation at /docs, served from local files: no internet access needed."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from app.core.settings import EnvironmentSettings, read_settings

DOCS_PATH = "/docs"
ASSETS_PATH = "/docs/assets"


class DocsSettings(EnvironmentSettings, env_prefix="DOCS_"):
    enabled: bool = True
    """Whether /docs and /openapi.json are served."""


def install_interactive_docs(app: FastAPI) -> None:
    """Serve /docs and /openapi.json, unless DOCS_ENABLED is false; raises SettingsError."""
    if not read_settings(DocsSettings).enabled:
        return
    app.openapi_url = "/openapi.json"
    app.setup()
    app.mount(ASSETS_PATH, StaticFiles(packages=[("fastapi_offline", "static")]), name="docs")
    app.add_route(DOCS_PATH, swagger_ui, include_in_schema=False)
    if redirect := app.swagger_ui_oauth2_redirect_url:
        app.add_route(redirect, oauth2_redirect, include_in_schema=False)


async def swagger_ui(request: Request) -> HTMLResponse:
    app: FastAPI = request.app
    root = request.scope.get("root_path", "").rstrip("/")
    redirect = app.swagger_ui_oauth2_redirect_url
    page = get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=app.title,
        swagger_js_url=f"{root}{ASSETS_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS_PATH}/favicon.png",
        oauth2_redirect_url=f"{root}{redirect}" if redirect else None,
        init_oauth=app.swagger_ui_init_oauth,
        # By default, Swagger UI sends the URL of the schema to a validator on the internet.
        swagger_ui_parameters={"validatorUrl": None, **(app.swagger_ui_parameters or {})},
    )
    return restrict_scripts(page)


async def oauth2_redirect(_request: Request) -> HTMLResponse:
    return restrict_scripts(get_swagger_ui_oauth2_redirect_html())


def restrict_scripts(page: HTMLResponse) -> HTMLResponse:
    """Limit a page to its own scripts and to requests to this server."""
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = [f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts]
    page.headers["Content-Security-Policy"] = "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *hashes]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return page
