"""What authentication costs a read: one application without it, with `oidc`, and with `users`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.contenders import Contender, all_served, database, random_keys
from benchmarks.throughput import Figures, install_client, load
from benchmarks.workbench import Workbench
from tests.support.projects import FEATURES, Project, render, run
from tests.support.real_provider import AUDIENCE, Provider, install_package, run_provider

WITHOUT = "without"
# The greatest part of the throughput that authentication may cost.
LIMITS = {"oidc": 0.15, "users": 0.25}
READ = "read one"
CONNECTIONS = 16
LINK_URL = "https://app.example.com"
# Prints the tokens of sessions, each of a different caller, who may read.
LOG_IN = """
import asyncio, sys
from app.core.database import create_engine, create_session_factory
from app.core.settings import get_settings
from app.core.users.models import UserAccount
from app.core.users.sessions import Device, start_session

async def log_in(count):
    engine = create_engine(get_settings().database)
    async with create_session_factory(engine).begin() as session:
        for number in range(count):
            account = UserAccount(email=f"reader-{number}@example.com", roles=["viewer"])
            session.add(account)
            await session.flush()
            print(await start_session(session, account.id, Device()))
    await engine.dispose()

asyncio.run(log_in(int(sys.argv[1])))
"""


def measure(bench: Workbench) -> dict[str, list[Figures]]:
    """Return the figures of each round of reads of one row, by the kind of authentication."""
    install_client(bench.folder)
    projects = {auth: installed(bench, auth) for auth in ("none", *LIMITS)}
    results: dict[str, list[Figures]] = {}
    with provider(bench) as oidc, database(bench, project=projects["users"]) as url:
        tokens = {
            WITHOUT: [],
            "oidc": [oidc.token() for _ in range(CONNECTIONS)],
            "users": session_tokens(projects["users"], url),
        }
        contenders = [
            rendered(WITHOUT, projects["none"]),
            rendered("oidc", projects["oidc"], OIDC_ISSUER=oidc.issuer, OIDC_AUDIENCE=AUDIENCE),
            rendered("users", projects["users"], USERS_LINK_URL=LINK_URL),
        ]
        keys = random_keys(bench.project, url)
        with all_served(contenders, url, 1) as served:
            # The first round warms up.
            for number in range(bench.rounds + 1):
                for contender, server in zip(contenders, served, strict=True):
                    requests = with_tokens(contender.requests(keys)[READ], tokens[contender.name])
                    figures = load(bench, server, requests, CONNECTIONS)
                    if number:
                        results.setdefault(contender.name, []).append(figures)
    return results


def installed(bench: Workbench, auth: str) -> Project:
    """Return a project with a kind of authentication; all have the same features and packages."""
    path = render(bench.template, bench.folder / f"auth-{auth}", features=FEATURES, auth=auth)
    project = replace(bench.project, path=path)
    variables = {"UV_PROJECT_ENVIRONMENT": str(project.environment), "UV_COMPILE_BYTECODE": "1"}
    sync = ["uv", "sync", "--quiet", "--inexact", "--python", bench.python]
    run(sync, path, status=0, **variables)
    return project


@contextmanager
def provider(bench: Workbench) -> Iterator[Provider]:
    packages = bench.folder / "provider"
    install_package(packages)
    with run_provider(packages) as running:
        yield running


def rendered(name: str, project: Project, **variables: str) -> Contender:
    return Contender(name, project, "app.main:create_app", variables)


def session_tokens(project: Project, url: str) -> list[str]:
    arguments = ("-c", LOG_IN, str(CONNECTIONS))
    printed = project.python(*arguments, DATABASE_URL=url, USERS_LINK_URL=LINK_URL)
    return printed.stdout.split()


def with_tokens(requests: list[dict[str, Any]], tokens: list[str]) -> list[dict[str, Any]]:
    """Return requests of which each connection sends its own token, if there are any."""
    if not tokens:
        return requests
    # Each connection sends every request whose number has the same remainder; see load.mjs.
    return [
        {**request, "headers": {"authorization": f"Bearer {tokens[number % CONNECTIONS]}"}}
        for number, request in enumerate(requests)
    ]
