"""What clients get when the database refuses, or is not there."""

from collections.abc import Mapping, Sequence
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

from app.core.database_log import log_unavailable
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
from app.core.request_fields import Location, request_fields


class ChangedError(AppError):
    """The entity does not have the version that the request's `If-Match` requires."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self) -> None:
        super().__init__(
            "The resource does not match If-Match: another request changed or deleted it;"
            " read it again to get the current ETag."
        )


class OutcomeUnknownError(AppError):
    """A commit was sent, but the database did not confirm it: the change may be stored.

    The response has no `Retry-After`: repeating the request could store the change twice.
    """

    status = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The outcome of the commit is unknown: {reason}. Read the resource to find out whether"
            " the change was stored; if the request had an `Idempotency-Key` that the operation"
            " accepts, send it again with the same key."
        )


def explain(
    error: DBAPIError, fields: Mapping[str, Location] | None = None, whole: Location | None = None
) -> AppError | None:
    """Return the error for the client; None if the error is the server's own.

    `fields` maps the names of what the client sent to locations. A reason about anything else has
    the location `whole`, by default [], and names its subject.
    """
    match meaning(error):
        case Meaning.CLASH:
            names, reason = clash(error)
            told = "; ".join(f"{name} {reason}" for name in names)
            reasons = _located(names, reason, fields or {}, whole or [])
            return ConflictError(f"The change clashes with what is stored: {told}.", reasons)
        case Meaning.VALUE:
            return InvalidError("The database cannot store or compare one of the values.")
        case Meaning.AGAIN:
            return UnavailableError("Other requests changed the same at the same time.")
        case Meaning.UNAVAILABLE:
            return UnavailableError("The database does not answer, or not in time.")
    return None


def _located(
    names: Sequence[str], reason: str, fields: Mapping[str, Location], whole: Location
) -> list[Reason]:
    sent = [Reason(location=fields[name], reason=reason) for name in names if name in fields]
    return sent or [Reason(location=whole, reason=f"{name} {reason}") for name in names]


def clash(error: DBAPIError) -> tuple[list[str], str]:
    """Return the names of what clashes, columns if possible, and why; never stored values."""
    name = violated(error)
    found = constraint(name)
    deletes = (error.statement or "").startswith("DELETE")
    match found:
        case UniqueConstraint() | Index():
            reason = "is taken already"
        case ForeignKeyConstraint() if deletes:
            return ["it"], f"is still referred to by {found.table.name}"
        case ForeignKeyConstraint():
            reason = "refers to what is not there, or is still referred to"
        case CheckConstraint():
            return [str(found.name)], "does not hold"
        # SQLite does not name foreign keys.
        case None if name is None and deletes:
            return ["it"], "is still referred to"
        case _:
            return [name or "a reference"], "does not hold"
    return [column.name for column in found.columns], reason


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
    # app.core.retries runs the request again as long as it is worth it.
    if request.scope.get("retries") and meaning(error) is Meaning.AGAIN:
        raise error
    told = explain(error)
    # Before the body is read: an error that is raised again reaches this handler a second time,
    # from outside of the route, where waiting for the body would never end.
    if told is None:
        raise error
    if isinstance(told, ConflictError):
        told = explain(error, await request_fields(request)) or told
    if isinstance(told, UnavailableError):
        log_unavailable(error)
    return await handle_app_error(request, told)


async def handle_stale_data(request: Request, error: StaleDataError) -> Response:
    if requires_version(request):
        return await handle_app_error(request, ChangedError())
    # Without If-Match, the client may overwrite any version: app.core.retries tries again.
    if request.scope.get("retries"):
        raise error
    told = ConflictError("Another request changed or deleted the resource meanwhile; try again.")
    return await handle_app_error(request, told)


def requires_version(request: Request) -> bool:
    """Return whether a request may change only the versions listed in its `If-Match`."""
    return request.headers.get("If-Match", "*") != "*"


async def handle_exhausted_pool(request: Request, error: PoolTimeoutError) -> Response:
    log_unavailable(error)
    told = UnavailableError("All connections to the database are in use.")
    return await handle_app_error(request, told)


def install_database_error_handlers(app: FastAPI) -> None:
    """Answer what the database refuses with 4xx, and its absence with 503."""
    app.exception_handler(DBAPIError)(handle_database_error)
    app.exception_handler(StaleDataError)(handle_stale_data)
    app.exception_handler(PoolTimeoutError)(handle_exhausted_pool)
