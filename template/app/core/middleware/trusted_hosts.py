"""Trusted hosts: rejects forged Host headers, which could end up in links and caches."""

import re
from typing import Annotated

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from pydantic import AfterValidator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import health
from app.core.errors import problem
from app.core.settings import CommaSeparated, EnvironmentSettings, read_settings

# Kubernetes requests these by the IP address of the pod.
PROBES = tuple(f"{health.router.prefix}/{probe}" for probe in ("live", "ready"))
HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not HOST.fullmatch(host):
            raise ValueError(
                f"invalid host {host!r}; expected example.com or *.example.com, without a port"
            )
    return hosts


class TrustedHostSettings(EnvironmentSettings, env_prefix="TRUSTED_"):
    hosts: Annotated[CommaSeparated, AfterValidator(check_hosts)] = ()
    """Host names without a port; *.example.com includes all subdomains."""


class TrustedHostsMiddleware:
    """Applies Starlette's check, but rejects with problem details instead of plain text."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app = app
        self.check = TrustedHostMiddleware(accept, hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rejection: list[Message] = []

        async def record(message: Message) -> None:
            rejection.append(message)

        await self.check(scope, receive, record)
        if not rejection or is_health_check(scope):
            await self.app(scope, receive, send)
        else:
            response = problem(400, "Untrusted host in the Host header")
            await response(scope, receive, send)


async def accept(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pass


def is_health_check(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path in PROBES


def install_trusted_hosts(app: FastAPI) -> None:
    """Reject requests for other hosts, if TRUSTED_HOSTS is set; raises SettingsError."""
    if hosts := read_settings(TrustedHostSettings).hosts:
        app.add_middleware(TrustedHostsMiddleware, hosts=hosts)
