"""What drivers raise besides their own errors, turned into errors that SQLAlchemy knows."""

import re
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, OperationalError

# Follows an error for which MySQL or SQLite rolled back the whole transaction.
LOST_SAVEPOINT = re.compile(r"\(1305, .SAVEPOINT |no such savepoint: ")


def translate_driver_errors(engine: Engine) -> None:
    """Raise OperationalError for a connection that is lost or not to be had, DataError for values.

    Otherwise whoever handles DBAPIError would miss them.
    """
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "handle_error", _translate)


def is_lost(error: BaseException) -> bool:
    """Return whether an error that is not the driver's own means a lost connection."""
    # A transport of uvloop that is closed already raises no OSError.
    is_closed = isinstance(error, RuntimeError) and "closed" in str(error)
    return is_closed or isinstance(error, OSError | EOFError)


def _connect(dialect: Dialect, _record: object, args: Any, options: dict[str, Any]) -> Any:
    try:
        return dialect.connect(*args, **options)
    except Exception as error:
        if not is_lost(error):
            raise
        raise _lost(None, error) from error


def _translate(context: ExceptionContext) -> Exception | None:
    error = context.original_exception
    if is_lost(error):
        context.is_disconnect = True
        return _lost(context.statement, error)
    # From the start: further on, a message may quote what a client sent.
    if LOST_SAVEPOINT.match(str(error)):
        # Everything written before the savepoint is lost, so the transaction must not continue.
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
        return None
    # A value that does not fit into the type of its column, before the database sees it.
    if context.statement is not None and isinstance(error, ValueError | OverflowError):
        return DataError(context.statement, None, error, hide_parameters=True)
    return None


def _lost(statement: str | None, error: BaseException) -> OperationalError:
    return OperationalError(
        statement, None, error, hide_parameters=True, connection_invalidated=True
    )
