"""Logs why the database was unavailable, in one line without traceback, values or password."""

from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

logger = structlog.get_logger("app.database")


def log_unavailable(error: Exception) -> None:
    """Log the driver's error in one line per response, like the access log."""
    logger.warning("database unavailable", **cause(error))


def cause(error: Exception) -> dict[str, Any]:
    """Return the type, the code and the message of the driver's error."""
    found: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        # SQLAlchemy's adapters of async drivers raise their own errors from those of the driver.
        found = error.orig.__cause__ or error.orig
    named = {"error": type(found).__name__, "code": code(found), "reason": message(found)}
    return {name: value for name, value in named.items() if value not in (None, "")}


def code(error: BaseException) -> object:
    """Return the error number of the server or system, the SQLSTATE, or SQLite's error name."""
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)


def message(error: BaseException) -> str:
    # Without the details that drivers append, which may quote stored values.
    lines = str(error.args[-1]).splitlines() if error.args else []
    return lines[0] if lines else ""
