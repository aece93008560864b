"""Interactive documentation at /docs, from files of our own: it works without internet."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.settings import FROM_ENVIRONMENT, read_settings

PAGE = "/docs"
ASSETS = "/docs/assets"


class DocsSettings(BaseSettings):
    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="DOCS_")

    enabled: bool = True
    """Whether /docs and /openapi.json are there."""


def install_interactive_docs(app: FastAPI) -> None:
    """Serve the documentation of an application that was made without any, unless switched off.

    Raises SettingsError.
    """
    if not read_settings(DocsSettings).enabled:
        return
    app.openapi_url = "/openapi.json"
    app.setup()
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]), name="docs")
    app.add_route(PAGE, show_swagger_ui, include_in_schema=False)
    if redirect := app.swagger_ui_oauth2_redirect_url:
        app.add_route(redirect, show_oauth2_redirect, include_in_schema=False)


async def show_swagger_ui(request: Request) -> HTMLResponse:
    app: FastAPI = request.app
    root = request.scope.get("root_path", "").rstrip("/")
    redirect = app.swagger_ui_oauth2_redirect_url
    page = get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=app.title,
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
        oauth2_redirect_url=f"{root}{redirect}" if redirect else None,
        init_oauth=app.swagger_ui_init_oauth,
        # Without null, Swagger UI hands the address of the schema to a validator on the internet.
        swagger_ui_parameters={"validatorUrl": None, **(app.swagger_ui_parameters or {})},
    )
    return restrict(page)


async def show_oauth2_redirect(_request: Request) -> HTMLResponse:
    return restrict(get_swagger_ui_oauth2_redirect_html())


def restrict(page: HTMLResponse) -> HTMLResponse:
    """Let a page run its own scripts and reach this server, and nothing else."""
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
