"""HTTP responses for database errors: 409 and 422 for rejected values, 412, 503 and 504."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic.alias_generators import to_snake
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from app.core.dialect import classify_error, constraint_name
from app.core.driver_errors import ErrorKind, describe
from app.core.errors import (
    AppError,
    ConflictError,
    ErrorDetail,
    InvalidError,
    UnavailableError,
    handle_app_error,
)
from app.core.models import Base

Location: TypeAlias = list[str | int]

logger = structlog.get_logger("app.database")


class PreconditionFailedError(AppError):
    """The entity does not have the version that the request's `If-Match` requires."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self) -> None:
        super().__init__(
            "If-Match does not match the resource: another request changed or deleted it."
            " Read it again to get the current ETag."
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


def to_app_error(
    error: DBAPIError, fields: Mapping[str, Location] | None = None, default: Location | None = None
) -> AppError | None:
    """Return the error to respond with; None if the server itself is at fault.

    `fields` maps names of request fields to their locations; other errors are located at
    `default`, or at [] if it is None.
    """
    match classify_error(error):
        case ErrorKind.CONFLICT:
            names, reason = find_conflict(error)
            summary = "; ".join(f"{name} {reason}" for name in names)
            details = _error_details(names, reason, fields or {}, default or [])
            return ConflictError(f"Conflict with stored data: {summary}.", details)
        case ErrorKind.INVALID_VALUE:
            return InvalidError("A value is out of range, too long or malformed for its column.")
        case ErrorKind.RETRYABLE:
            return UnavailableError("The transaction conflicted with a concurrent one; try again.")
        case ErrorKind.UNAVAILABLE:
            return UnavailableError("The database is unavailable or timed out; try again.")
    return None


def _error_details(
    names: Sequence[str], reason: str, fields: Mapping[str, Location], default: Location
) -> list[ErrorDetail]:
    details = [
        ErrorDetail(location=fields[name], reason=reason) for name in names if name in fields
    ]
    return details or [ErrorDetail(location=default, reason=f"{name} {reason}") for name in names]


def find_conflict(error: DBAPIError) -> tuple[list[str], str]:
    """Return the names of the conflicting columns or constraint, and the reason; never values."""
    name = constraint_name(error)
    found = find_constraint(name)
    is_delete = (error.statement or "").startswith("DELETE")
    match found:
        case UniqueConstraint() | Index():
            reason = "already exists"
        case ForeignKeyConstraint() if is_delete:
            return ["row"], f"is still referenced by {found.table.name}"
        case ForeignKeyConstraint():
            reason = "references a missing row, or is still referenced"
        case CheckConstraint():
            return [str(found.name)], "is violated"
        # SQLite does not name foreign keys.
        case None if name is None and is_delete:
            return ["row"], "is still referenced"
        case _:
            return [name or "foreign key"], "is violated"
    return [column.name for column in found.columns], reason


def find_constraint(name: str | None) -> Any:
    """Return the constraint or unique index with this name, or None.

    SQLite reports the columns, as `item.name, item.kind`; other databases report the name.
    """
    for table in Base.metadata.tables.values():
        items: list[Any] = [*table.constraints, *table.indexes]
        for item in items:
            columns = [f"{table.name}.{column.name}" for column in item.columns]
            if name in (item.name, ", ".join(columns)):
                return item
    return None


async def locate_fields(request: Request) -> dict[str, Location]:
    """Return the location of each field of the query, path and body, by its name.

    A field with a camelCase alias is included under its snake_case name, too.
    """
    sources = {
        "query": request.query_params,
        "path": request.path_params,
        "body": await _body_fields(request),
    }
    return {
        key: [source, name]
        for source, names in sources.items()
        for name in names
        for key in (to_snake(name), name)
    }


async def _body_fields(request: Request) -> Iterable[str]:
    """Return the field names of the body, if FastAPI has read one."""
    if getattr(request.scope.get("route"), "body_field", None) is None:
        return ()
    if "json" not in request.headers.get("content-type", ""):
        return await request.form()
    try:
        body = await request.json()
    except ValueError:
        return ()
    return body if isinstance(body, dict) else ()


def log_unavailable(error: Exception) -> None:
    """Log the driver's error in one line per response, without traceback or values."""
    event = "database unavailable"
    if isinstance(error, PoolTimeoutError):
        event = "connection pool exhausted"
    elif isinstance(error, DBAPIError) and classify_error(error) is ErrorKind.RETRYABLE:
        event = "transaction conflict"
    logger.warning(event, **describe(error))


async def handle_database_error(request: Request, error: DBAPIError) -> Response:
    # app.core.middleware.retries runs the request again until its attempts are used up.
    if request.scope.get("retries") and classify_error(error) is ErrorKind.RETRYABLE:
        raise error
    app_error = to_app_error(error)
    # Raised before the body is read: an error that is raised again reaches this handler a second
    # time, outside of the route, where reading the body would never end.
    if app_error is None:
        raise error
    if isinstance(app_error, ConflictError):
        app_error = to_app_error(error, await locate_fields(request)) or app_error
    if isinstance(app_error, UnavailableError):
        log_unavailable(error)
    return await handle_app_error(request, app_error)


async def handle_stale_data(request: Request, error: StaleDataError) -> Response:
    # `If-Match: *` does not limit the request to certain versions.
    if request.headers.get("If-Match", "*") != "*":
        return await handle_app_error(request, PreconditionFailedError())
    # Without If-Match, the client may overwrite any version, so the request is retried.
    if request.scope.get("retries"):
        raise error
    conflict = ConflictError("A concurrent request changed or deleted the resource; try again.")
    return await handle_app_error(request, conflict)


async def handle_exhausted_pool(request: Request, error: PoolTimeoutError) -> Response:
    log_unavailable(error)
    busy = UnavailableError("All database connections are in use; try again.")
    return await handle_app_error(request, busy)


def install_database_error_handlers(app: FastAPI) -> None:
    """Respond to database errors with problem details instead of a 500."""
    app.exception_handler(DBAPIError)(handle_database_error)
    app.exception_handler(StaleDataError)(handle_stale_data)
    app.exception_handler(PoolTimeoutError)(handle_exhausted_pool)
