"""Errors that services raise, and responses with problem details (RFC 9457) for all errors."""

from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from starlette.exceptions import HTTPException
from structlog.contextvars import get_contextvars

from app.core.routing import has_route

RETRY_AFTER_SECONDS = 1
MAX_ERRORS = 100
"""Errors that a response lists."""
MAX_ERRORS_PER_OBJECT = 1000
"""Errors of one object, including nested ones, beyond which they are only counted."""


class ErrorDetail(BaseModel):
    """One error of a request."""

    location: list[str | int] = Field(
        description="Path in the request, [] if none; list items are numbered from 0",
        examples=[["body", "name"]],
    )
    reason: str


class AppError(Exception):
    """An error that is reported to the client; its message becomes the `detail` of the response."""

    status = HTTPStatus.BAD_REQUEST
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str, errors: Sequence[ErrorDetail] = ()) -> None:
        super().__init__(detail)
        self.errors = errors


class NotFoundError(AppError):
    status = HTTPStatus.NOT_FOUND

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"{kind} {key} not found")


class ConflictError(AppError):
    status = HTTPStatus.CONFLICT


class InvalidError(AppError):
    """A value that passed validation but is rejected by the service or the database."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnavailableError(AppError):
    """A dependency is unavailable; the same request may succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class Problem(BaseModel):
    """Problem details: https://www.rfc-editor.org/rfc/rfc9457"""

    title: str
    status: int
    detail: str
    errors: list[ErrorDetail] | None = Field(default=None, description="Errors by field")
    request_id: str | None = Field(default=None, description="Identifies the request in the logs")


def _problem_response(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


# OpenAPI descriptions of the responses of the handlers below.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": _problem_response("The request is invalid or conflicts with the stored data."),
    "5XX": _problem_response("Internal error, or a dependency is unavailable."),
}


def problem(
    status: int,
    detail: str,
    errors: Sequence[ErrorDetail] = (),
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """Return a problem details response, without a body if the status has none."""
    if status < 200 or status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return Response(status_code=status, headers=headers)
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=list(errors) or None,
        request_id=request_id,
    )
    content = body.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def handle_app_error(_request: Request, error: AppError) -> Response:
    return problem(error.status, str(error), error.errors, error.headers)


async def handle_http_error(request: Request, error: HTTPException) -> Response:
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(allowed_methods(request))}
    return problem(error.status_code, str(error.detail), headers=headers)


def allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes of a path; Starlette lists those of the first route only."""
    return [method for method in HTTPMethod if has_route({**request.scope, "method": method})]


async def handle_invalid_request(_request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    errors = [ErrorDetail(location=list(e["loc"]), reason=e["msg"]) for e in found[:MAX_ERRORS]]
    detail = "The request is invalid."
    if len(found) > MAX_ERRORS:
        # The total is unknown: validation may have stopped early.
        detail += f" It has more than {MAX_ERRORS} errors; the first {MAX_ERRORS} are listed."
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


async def handle_invalid_response(_request: Request, error: ResponseValidationError) -> Response:
    """Raise the error as an unexpected one, without its values, which would be logged."""
    reasons = [{"loc": e["loc"], "msg": e["msg"]} for e in error.errors()[:MAX_ERRORS]]
    safe = ResponseValidationError(reasons, endpoint_ctx=error.endpoint_ctx)
    raise safe.with_traceback(error.__traceback__) from None


async def handle_unexpected_error(request: Request, _error: Exception) -> Response:
    request_id = get_contextvars().get("request_id")
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    # Servers close the connection after an exception; HTTP/2 has no `Connection` header.
    is_http_1 = str(request.scope.get("http_version", "1.1")).startswith("1")
    headers = {"Connection": "close"} if is_http_1 else {}
    return problem(status, "Internal server error", headers=headers, request_id=request_id)


# Pydantic collects all validation errors, and FastAPI creates several objects for each: a list of
# 1,000 objects with 130 unknown keys each would block the process for four seconds.
def _limit_item_errors(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        if error.error_count() <= MAX_ERRORS or not isinstance(value, list):
            raise
    # Start over, so that the locations of errors are correct.
    return validate(value[: _count_until_limit(value, validate)])


def _count_until_limit(items: list[Any], validate: ValidatorFunctionWrapHandler) -> int:
    """Return how many leading items have more than MAX_ERRORS in total."""
    found = 0
    for count, item in enumerate(items, start=1):
        try:
            validate([item])
        except ValidationError as error:
            found += error.error_count()
        if found > MAX_ERRORS:
            return count
    return len(items)


StopEarly = WrapValidator(_limit_item_errors)
"""Annotates a list: validation stops once its items have more than MAX_ERRORS in total."""


# Add your own errors and handlers below; template updates add theirs above.


def add_problem_schema(app: FastAPI) -> None:
    """Add the schemas that RESPONSES references; FastAPI adds only those of JSON responses."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = schema.pop("$defs") | {"Problem": schema}
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def install_error_handlers(app: FastAPI) -> None:
    """Respond to every error with problem details, and add them to the OpenAPI document."""
    add_problem_schema(app)
    app.exception_handler(AppError)(handle_app_error)
    app.exception_handler(HTTPException)(handle_http_error)
    app.exception_handler(RequestValidationError)(handle_invalid_request)
    app.exception_handler(ResponseValidationError)(handle_invalid_response)
    app.exception_handler(Exception)(handle_unexpected_error)
