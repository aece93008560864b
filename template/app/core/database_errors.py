"""What clients get when the database refuses, or is not there."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from app.core.error_dialect import meaning, violated
from app.core.error_meaning import Meaning
from app.core.errors import (
    AppError,
    ConflictError,
    InvalidError,
    Reason,
    UnavailableError,
    handle_app_error,
)
from app.core.models import Base


class ChangedError(AppError):
    """Somebody else changed or deleted in the meantime what this request was about to change."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self) -> None:
        super().__init__("It was changed or deleted meanwhile; read it again, and decide anew.")


class OutcomeUnknownError(AppError):
    """A commit was sent, and the database did not answer it: the change may be stored.

    There is no `Retry-After`: to send the request again could store it twice.
    """

    status = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The outcome of the commit is unknown: {reason}. Read the resource to find out whether"
            " the change was stored; if the request had an `Idempotency-Key` that the operation"
            " accepts, send it again with the same key."
        )


def explain(error: DBAPIError) -> AppError | None:
    """Return what a client is told of an error of the database; None if it is the server's own."""
    match meaning(error):
        case Meaning.CLASH:
            reasons = clashes(error)
            told = "; ".join(f"{reason.location[-1]} {reason.reason}" for reason in reasons)
            return ConflictError(f"The change clashes with what is stored: {told}.", reasons)
        case Meaning.VALUE:
            return InvalidError("The database cannot store or compare one of the values.")
        case Meaning.AGAIN:
            return UnavailableError("Other requests changed the same at the same time.")
        case Meaning.UNAVAILABLE:
            return UnavailableError("The database does not answer, or not in time.")
    return None


def clashes(error: DBAPIError) -> list[Reason]:
    """Return which columns clash, and how; never what is stored."""
    name = violated(error)
    found = constraint(name)
    match found:
        case UniqueConstraint() | Index():
            reason = "is taken already"
        case ForeignKeyConstraint():
            reason = "refers to what is not there, or is still referred to"
        case CheckConstraint():
            return [Reason(location=[str(found.name)], reason="does not hold")]
        case _:
            return [Reason(location=[name or "a reference"], reason="does not hold")]
    return [Reason(location=[column.name], reason=reason) for column in found.columns]


def constraint(name: str | None) -> Any:
    """Return the constraint or the unique index of that name, or of these columns, or None.

    SQLite names the columns, as `item.name, item.kind`; the others name the constraint.
    """
    for table in Base.metadata.tables.values():
        items: list[Any] = [*table.constraints, *table.indexes]
        for item in items:
            columns = [f"{table.name}.{column.name}" for column in item.columns]
            if name in (item.name, ", ".join(columns)):
                return item
    return None


async def handle_database_error(request: Request, error: DBAPIError) -> Response:
    told = explain(error)
    # app.core.retries runs the request again as long as it is worth it.
    if told is None or (request.scope.get("retries") and meaning(error) is Meaning.AGAIN):
        raise error
    return await handle_app_error(request, told)


async def handle_stale_data(request: Request, _error: StaleDataError) -> Response:
    return await handle_app_error(request, ChangedError())


async def handle_exhausted_pool(request: Request, _error: PoolTimeoutError) -> Response:
    told = UnavailableError("All connections to the database are in use.")
    return await handle_app_error(request, told)


def install_database_error_handlers(app: FastAPI) -> None:
    """Answer what the database refuses with 4xx, and its absence with 503."""
    app.exception_handler(DBAPIError)(handle_database_error)
    app.exception_handler(StaleDataError)(handle_stale_data)
    app.exception_handler(PoolTimeoutError)(handle_exhausted_pool)
