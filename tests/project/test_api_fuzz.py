"""The API under a fuzzer, and under values that databases cannot store."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.projects import DATABASES, ROOT, SUPPORT, Project, run
from tests.support.real_provider import AUDIENCE, Provider, run_provider

CONFIG = SUPPORT / "schemathesis.toml"
EXAMPLES = "8"
STRANGE_MODULE = "strange"
# Stored or read; malformed JSON; a value that the schema or the database refuses.
EXPECTED = {200, 201, 400, 422}
CREATE_TABLES = """
import asyncio
from app.core.database import create_engine
from app.core.migrations import import_models
from app.core.models import Base
from app.core.settings import get_settings

async def create_tables():
    import_models()
    engine = create_engine(get_settings().database)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()

asyncio.run(create_tables())
"""

# One field of each kind, in a model and in its schemas.
FIELDS = {
    "born": ("date", "date"),
    "at": ("datetime", "datetime"),
    "clock": ("time", "time"),
    "small": ("int", "int"),
    "large": ("BigInteger", "int"),
    "price": ("Numeric(10, 2)", "Decimal"),
    "weight": ("float", "float"),
    "much": ("JSON", "dict[str, Any]"),
}
STRANGE: dict[str, list[Any]] = {
    "name": ["\0", "a\0b", "😀" * 201, "é\u0301\u202e", "\ufffe", 1, None, [], {}],
    "born": ["0001-01-01", "9999-12-31", "0000-01-01", "10000-01-01", "2026-02-30", 10**20],
    "at": [
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00", "0001-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59.999999Z", "2026-01-01T00:00:00", 10**30, -(10**12)),
    ],
    "clock": ["24:00:00", "23:59:59.999999", "23:59:60", "00:00:00+14:00"],
    "small": [2**31, -(2**31) - 1, 2**63, 2**64, 10**400, 1e400, True, "1"],
    "large": [2**63 - 1, -(2**63), 2**63, 10**400],
    "price": ["1e400", "99999999.99", "100000000", "0.001", "NaN", "Infinity", "-0", 10**30],
    "weight": [1e308, "1e400", "nan", "-inf", 5e-324],
    "much": [{"a": "\0"}, {"\0": 1}, {"a": 10**400}, {"a": {"b": [2**63]}}, {"": None}, []],
}
# What no library of Python would write.
RAW = [
    *(b'{"name": "\\ud800"}', b'{"name": "\xff\xfe"}', b'{"name": "a", "name": "b"}'),
    *(b'{"name": NaN}', b'{"much": {"a": "\\udfff"}, "name": "a"}', b"", b"null", b"{"),
    b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"much": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b', "name": "deep"}',
    b'{"much": ' + b'{"a":' * 30 + b"1" + b"}" * 30 + b', "name": "less deep"}',
    b'{"much": {"a": 1e400}, "name": "infinite"}',
    b'{"name": "a", "small": ' + b"9" * 10_000 + b"}",
]


@pytest.fixture(scope="module", params=DATABASES)
def address(
    request: pytest.FixtureRequest, lasting_project: Callable[..., Project]
) -> Iterator[str]:
    """Where a project of each database is served, one of whose modules has strange fields."""
    made = lasting_project(request.param, modules=["item", "invoice", STRANGE_MODULE])
    add_fields(made.path / "app" / "modules" / STRANGE_MODULE)
    with made.server() as url:
        made.python("-c", CREATE_TABLES, DATABASE_URL=url)
        with made.serve(url) as served:
            yield served.address


def test_schemathesis_finds_no_failure(address: str, tmp_path: Path) -> None:
    fuzz(address, tmp_path, "--exclude-path-regex", f"/{STRANGE_MODULE}s")


def fuzz(address: str, folder: Path, *arguments: str) -> None:
    """Run all checks of schemathesis on an API."""
    phases = "examples,coverage,fuzzing,stateful"
    printed = run_schemathesis(address, folder, "--checks", "all", "--phases", phases, *arguments)
    assert "Stateful" in printed
    assert "not applicable" not in printed


def run_schemathesis(address: str, folder: Path, *options: str) -> str:
    """Run schemathesis on an API; return what it prints, and fail if it finds something."""
    schemathesis = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
    fixed = ["--seed", "1", "--no-color", "--generation-database", "none"]
    return run(
        [
            *[*schemathesis, "run", f"{address}/openapi.json", "--max-examples", EXAMPLES],
            *[*fixed, *options],
        ],
        folder,
        PYTHONPATH=str(ROOT),
    ).stdout


@pytest.fixture
def provider(packages: Path) -> Iterator[Provider]:
    with run_provider(packages) as running:
        yield running


def test_protected_operations_pass_with_a_token_and_are_unauthorized_without(
    project: Callable[..., Project], provider: Provider, tmp_path: Path
) -> None:
    made = project("sqlite", auth="oidc")
    variables = {"OIDC_ISSUER": provider.issuer, "OIDC_AUDIENCE": AUDIENCE}
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        with made.serve(url, **variables) as served:
            authorization = f"Authorization: Bearer {provider.token()}"
            # The checks include one that protected operations refuse other credentials, and none.
            fuzz(served.address, tmp_path, "--header", authorization)
            assert unauthorized(served.address) == 5


def unauthorized(address: str) -> int:
    """Call the protected operations without credentials; return how many there are."""
    paths = requests.get(f"{address}/openapi.json", timeout=60).json()["paths"]
    found = [
        (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "security" in operation
    ]
    for method, path in found:
        url = address + re.sub(r"{.*?}", "01a22829-c6cb-705e-8273-4ac11c34d76c", path)
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
            response = requests.request(method, url, json={}, headers=headers, timeout=60)
            assert response.status_code == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Authorization" in response.headers["Vary"]
    return len(found)


def test_no_value_causes_a_server_error(address: str) -> None:
    path = f"{address}/api/v1/{STRANGE_MODULE}s"
    headers = {"Content-Type": "application/json"}
    statuses: dict[tuple[str, str], int] = {}
    with requests.Session() as session:
        answers = [
            (field, value, session.post(path, json={"name": "a", field: value}, timeout=60))
            for field, values in STRANGE.items()
            for value in values
            if not isinstance(value, float) or math.isfinite(value)
        ]
        answers += [
            ("body", body[:40], session.post(path, data=body, headers=headers, timeout=60))
            for body in RAW
        ]
        for field, value, answer in answers:
            statuses[field, str(value)[:60]] = answer.status_code
            # What was stored can be read.
            if answer.status_code == 201:
                read = session.get(f"{path}/{answer.json()['id']}", timeout=60)
                statuses[f"{field}, read", str(value)[:60]] = read.status_code
        for query in ("name=%00", "name=%ED%A0%80", "cursor=%F0%9F%98%80", f"limit={10**400}"):
            statuses["query", query[:60]] = session.get(f"{path}?{query}", timeout=60).status_code
        assert session.get(path, params={"limit": 100}, timeout=60).status_code == 200
    wrong = {what: status for what, status in statuses.items() if status not in EXPECTED}
    assert not wrong
    assert set(statuses.values()) >= EXPECTED


def add_fields(folder: Path) -> None:
    """Give the model and the schemas of a module a field of each kind, as a user would."""
    models = (folder / "models.py").read_text("utf-8")
    schemas = (folder / "schemas.py").read_text("utf-8")
    columns = "".join(
        f"    {name}: Mapped[{kind} | None] = mapped_column({'' if column == kind else column})\n"
        for name, (column, kind) in FIELDS.items()
    )
    models = models.replace("from sqlalchemy import String", IMPORTS + MORE_COLUMNS)
    (folder / "models.py").write_text(models + columns, "utf-8")
    fields = "".join(f"    {name}: {kind} | None = None\n" for name, (_, kind) in FIELDS.items())
    description = "    description: Description | None = None\n"
    schemas = schemas.replace(description, description + fields)
    schemas = schemas.replace(
        "    description: str | None\n", "    description: str | None\n" + fields
    )
    (folder / "schemas.py").write_text(IMPORTS + schemas, "utf-8")


IMPORTS = """from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

"""
MORE_COLUMNS = "from sqlalchemy import JSON, BigInteger, Numeric, String"
