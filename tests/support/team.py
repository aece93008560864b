"""The edits of a team: what projects change in the template's files, and where.

In a release with places for own lines, the team uses them. Do not adapt the edits to the template:
tests and benchmarks measure with them how many conflicts an update has.
"""

from pathlib import Path

from tests.support.edits import Edit, Insertion

ERROR = '''

class PaymentRequiredError(AppError):
    """The account has no payment method."""

    status = HTTPStatus.PAYMENT_REQUIRED
'''
MIXIN = '''

class Archivable:
    """A model whose rows can be archived."""

    archived_at: Mapped[datetime | None]
'''
FIXTURE = '''

@pytest.fixture
async def admin_client(client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A client with an API key."""
    client.headers["X-API-Key"] = "secret"
    return client
'''
SESSION = '''

@nox.session
def docs(session: nox.Session) -> None:
    """Serve the handbook."""
    session.run("uv", "run", "mkdocs", "serve", *session.posargs)
'''
OVERRIDE = """
[[tool.mypy.overrides]]
module = "stripe.*"
ignore_missing_imports = true
"""
STEP = """      - uses: actions/upload-artifact@v4
        with:
          path: htmlcov
"""
TEAM: list[list[Edit | Insertion]] = [
    # A router of its own.
    [
        Insertion(
            "app/main.py",
            "from app.webhooks import router as webhooks_router\n",
            ["# isort: split\n", "from app.modules.item.router import router as item_router\n"],
        ),
        Insertion(
            "app/main.py",
            "    app.include_router(webhooks_router)\n",
            [
                "    # Include routers of your own modules below; updates add lines above.\n",
                "    app.include_router(item_router)\n",
            ],
        ),
    ],
    # Arguments of FastAPI.
    [
        Insertion(
            "app/main.py",
            '        version="2.4.0",\n        contact={"name": "Platform team"},\n',
            ['        title="My Service",\n'],
        )
    ],
    # Middleware.
    [
        Insertion(
            "app/main.py",
            "from fastapi.middleware.gzip import GZipMiddleware\n",
            ["from fastapi import FastAPI\n"],
        ),
        Insertion(
            "app/main.py",
            "    app.add_middleware(GZipMiddleware, minimum_size=1000)\n",
            ["    app.state.settings = settings or get_settings()\n"],
        ),
    ],
    # What the application opens and closes.
    [
        Insertion(
            "app/main.py",
            "    app.state.clients = {}\n",
            ["    app.state.session_factory = create_session_factory(engine)\n"],
        )
    ],
    # Dependencies.
    [
        Insertion(
            "pyproject.toml",
            '    "sentry-sdk[fastapi]>=2.40",\n',
            ['    "pydantic-settings>=2.16",\n'],
        ),
        Insertion("pyproject.toml", '    "pytest-cov>=7",\n', ['    "pytest-asyncio>=1.5",\n']),
    ],
    # Rules.
    [Edit("pyproject.toml", '"C4", "D", "DTZ", "E"', '"C4", "DTZ", "E"')],
    # A package without types.
    [Insertion("pyproject.toml", OVERRIDE, ["ignore_missing_imports = true\n"])],
    # Settings, changed and new.
    [
        Insertion(
            "app/core/settings.py",
            '    support_email: str = "support@example.com"\n',
            [
                "    database: DatabaseSettings = Field("
                "default_factory=lambda: _EMPTY, validate_default=True)\n",
                "    database: DatabaseSettings = Field("
                "default=cast(Any, {}), validate_default=True)\n",
            ],
        )
    ],
    [
        Insertion(
            "app/core/settings.py",
            '    application_name: str = "shop"\n',
            [
                '    """Time limit of one statement, and of a commit, in seconds."""\n',
                "    pool_pre_ping: bool = True\n",
            ],
        )
    ],
    # An error, below those that exist.
    [
        Insertion(
            "app/core/errors.py",
            ERROR,
            [
                '    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}\n',
                "    status = HTTPStatus.SERVICE_UNAVAILABLE\n",
            ],
        )
    ],
    [Insertion("app/core/models.py", MIXIN)],
    [Insertion("tests/conftest.py", FIXTURE)],
    [Insertion("noxfile.py", SESSION)],
    [Insertion(".env.example", "\nSUPPORT_EMAIL=support@example.com\n")],
    [Insertion(".gitattributes", "*.png binary\n")],
    [Insertion(".github/workflows/ci.yml", STEP)],
    [
        Insertion(
            "Dockerfile",
            "RUN apt-get update && apt-get install --yes --no-install-recommends libmagic1\n",
            ["RUN useradd --system --create-home app\n"],
        )
    ],
]


def edit_as_a_team(project: Path) -> None:
    """Make the edits in a project; they are left uncommitted."""
    for edits in TEAM:
        for change in edits:
            change.apply(project)
