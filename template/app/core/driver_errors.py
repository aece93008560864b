"""Kinds of database errors, and translation of driver exceptions that SQLAlchemy does not wrap."""

import re
from enum import Enum, auto
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

# The error after MySQL or SQLite has rolled back the whole transaction, savepoints included.
LOST_SAVEPOINT = re.compile(r"\(1305, .SAVEPOINT |no such savepoint: ")


class ErrorKind(Enum):
    """What a caller can do about a database error."""

    CONFLICT = auto()
    """Violates a constraint."""
    INVALID_VALUE = auto()
    """A value is out of range, too long or malformed for its column."""
    RETRYABLE = auto()
    """Deadlock or serialization failure: the same transaction may succeed when retried."""
    UNAVAILABLE = auto()
    """The server is unreachable, overloaded or timed out."""


def translate_driver_errors(engine: Engine) -> None:
    """Raise OperationalError for connection failures and DataError for values of the wrong type.

    Handlers of DBAPIError would otherwise miss them.
    """
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "handle_error", _translate)


def is_connection_lost(error: BaseException) -> bool:
    """Return whether an error that the driver did not wrap means a lost connection."""
    # uvloop raises RuntimeError for a closed transport.
    is_closed = isinstance(error, RuntimeError) and "closed" in str(error)
    return is_closed or isinstance(error, OSError | EOFError)


def _connect(dialect: Dialect, _record: object, args: Any, options: dict[str, Any]) -> Any:
    try:
        return dialect.connect(*args, **options)
    except Exception as error:
        if not is_connection_lost(error):
            raise
        raise _connection_error(None, error) from error


def _translate(context: ExceptionContext) -> Exception | None:
    error = context.original_exception
    if is_connection_lost(error):
        context.is_disconnect = True
        return _connection_error(context.statement, error)
    # At the start only: the rest of a message may quote what a client sent.
    if LOST_SAVEPOINT.match(str(error)):
        # Writes before the savepoint are lost, so the transaction must not continue.
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
        return None
    # The driver could not encode a value as the type of its column.
    if context.statement is not None and isinstance(error, ValueError | OverflowError):
        return DataError(context.statement, None, error, hide_parameters=True)
    return None


def _connection_error(statement: str | None, error: BaseException) -> OperationalError:
    return OperationalError(
        statement, None, error, hide_parameters=True, connection_invalidated=True
    )


def describe(error: Exception) -> dict[str, Any]:
    """Return the type, code and first line of the driver's error, without values or password."""
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        # SQLAlchemy's adapters of async drivers raise their own errors from the driver's.
        cause = error.orig.__cause__ or error.orig
    # Drivers append details on further lines, which may quote stored values.
    lines = str(cause.args[-1]).splitlines() if cause.args else []
    reason = lines[0] if lines else ""
    found = {"error": type(cause).__name__, "code": _code(cause), "reason": reason}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _code(error: BaseException) -> object:
    """Return the error number of the server or system, the SQLSTATE, or SQLite's error name."""
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
