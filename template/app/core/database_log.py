"""Why the database was unavailable: one line of the log, without traceback, values and password."""

from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

logger = structlog.get_logger("app.database")


def log_unavailable(error: Exception) -> None:
    """Log what the driver said; one line for each response, as the access log has."""
    logger.warning("database unavailable", **cause(error))


def cause(error: Exception) -> dict[str, Any]:
    """Return the type, the code and the message of the driver's error."""
    found: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        # What SQLAlchemy's adapter of an async driver raises stands for an error of that driver.
        found = error.orig.__cause__ or error.orig
    named = {"error": type(found).__name__, "code": code(found), "reason": message(found)}
    return {name: value for name, value in named.items() if value not in (None, "")}


def code(error: BaseException) -> object:
    """Return the number of the server or the system, the SQLSTATE, or SQLite's name."""
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)


def message(error: BaseException) -> str:
    # Without what drivers add to it, which may quote what is stored.
    lines = str(error.args[-1]).splitlines() if error.args else []
    return lines[0] if lines else ""
