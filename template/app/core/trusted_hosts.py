"""Which names this API answers to, so that a forged Host header reaches no link or cache."""

import re
from typing import Annotated

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from pydantic import AfterValidator
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import health
from app.core.errors import problem
from app.core.settings import FROM_ENVIRONMENT, CommaSeparated, read_settings

# Kubernetes requests these by the IP address of the pod.
PROBES = tuple(f"{health.router.prefix}/{probe}" for probe in ("live", "ready"))
HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not HOST.fullmatch(host):
            raise ValueError(
                f"{host!r} is no host; write example.com or *.example.com, without a port"
            )
    return hosts


class TrustedHostSettings(BaseSettings):
    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="TRUSTED_")

    hosts: Annotated[CommaSeparated, AfterValidator(check_hosts)] = ()
    """Host names without a port; *.example.com is every name below example.com."""


class TrustedHosts:
    """Applies Starlette's check, but rejects with problem details instead of plain text."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app = app
        self.check = TrustedHostMiddleware(accept, hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: list[Message] = []

        async def refuse(message: Message) -> None:
            refusal.append(message)

        await self.check(scope, receive, refuse)
        if not refusal or tells_health(scope):
            await self.app(scope, receive, send)
        else:
            response = problem(400, "This server does not answer to the name in the Host header.")
            await response(scope, receive, send)


async def accept(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pass


def tells_health(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path in PROBES


def install_trusted_hosts(app: FastAPI) -> None:
    """Refuse requests for other hosts, if TRUSTED_HOSTS is set; raises SettingsError."""
    if hosts := read_settings(TrustedHostSettings).hosts:
        app.add_middleware(TrustedHosts, hosts=hosts)
