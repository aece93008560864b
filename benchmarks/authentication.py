"""What authentication costs a read: one application without it, with `oidc`, and with `users`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

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
# Prints the token of a session of a caller who may read.
LOG_IN = """
import asyncio
from app.core.database import create_engine, create_session_factory
from app.core.settings import get_settings
from app.core.users.models import UserAccount
from app.core.users.sessions import Device, start_session

async def log_in():
    engine = create_engine(get_settings().database)
    async with create_session_factory(engine).begin() as session:
        account = UserAccount(email="reader@example.com", roles=["viewer"])
        session.add(account)
        await session.flush()
        print(await start_session(session, account.id, Device()))
    await engine.dispose()

asyncio.run(log_in())
"""


def measure(bench: Workbench) -> dict[str, list[Figures]]:
    """Return the figures of each round of reads of one row, by the kind of authentication."""
    install_client(bench.folder)
    projects = {auth: installed(bench, auth) for auth in ("none", *LIMITS)}
    results: dict[str, list[Figures]] = {}
    with provider(bench) as oidc, database(bench, project=projects["users"]) as url:
        contenders = [
            Contender(WITHOUT, projects["none"], "app.main:create_app"),
            with_provider(projects["oidc"], oidc),
            with_session(projects["users"], url),
        ]
        keys = random_keys(bench.project, url)
        with all_served(contenders, url, 1) as served:
            # The first round warms up.
            for number in range(bench.rounds + 1):
                for contender, server in zip(contenders, served, strict=True):
                    requests = contender.requests(keys)[READ]
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


def with_provider(project: Project, oidc: Provider) -> Contender:
    variables = {"OIDC_ISSUER": oidc.issuer, "OIDC_AUDIENCE": AUDIENCE}
    headers = {"authorization": f"Bearer {oidc.token()}"}
    return Contender("oidc", project, "app.main:create_app", variables, headers=headers)


def with_session(project: Project, url: str) -> Contender:
    link_url = "https://app.example.com"
    printed = project.python("-c", LOG_IN, DATABASE_URL=url, USERS_LINK_URL=link_url)
    token, variables = printed.stdout.strip(), {"USERS_LINK_URL": link_url}
    headers = {"authorization": f"Bearer {token}"}
    return Contender("users", project, "app.main:create_app", variables, headers=headers)
