"""Failures that services raise, and the problem details (RFC 9457) that clients get for them."""

from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Match
from structlog.contextvars import get_contextvars

from app.core.error_limit import MAX_ERRORS

SECONDS_TO_RETRY = 1


class Reason(BaseModel):
    """What is wrong with one part of a request."""

    location: list[str | int] = Field(
        description="Path in the request, [] if there is none; rows of a list are numbered from 0",
        examples=[["body", "name"]],
    )
    reason: str


class AppError(Exception):
    """A failure that is the caller's to know; its text becomes the problem's detail."""

    status = HTTPStatus.BAD_REQUEST
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str, errors: Sequence[Reason] = ()) -> None:
        super().__init__(detail)
        self.errors = errors


class NotFoundError(AppError):
    status = HTTPStatus.NOT_FOUND

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"There is no {kind} {key}.")


class ConflictError(AppError):
    status = HTTPStatus.CONFLICT


class InvalidError(AppError):
    """A value that only the service or the database can tell is wrong."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnavailableError(AppError):
    """Something that is needed does not answer now; the same request may succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": str(SECONDS_TO_RETRY)}


class Problem(BaseModel):
    """Problem details: https://www.rfc-editor.org/rfc/rfc9457"""

    title: str
    status: int
    detail: str
    errors: list[Reason] | None = Field(default=None, description="What is wrong, part by part")
    request_id: str | None = Field(default=None, description="With which the log can be searched")


def _documented(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


# What the documentation says of the answers of the handlers below.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": _documented("The request cannot be fulfilled."),
    "5XX": _documented("The server failed, or something that it needs does not answer."),
}


def problem(
    status: int,
    detail: str,
    errors: Sequence[Reason] = (),
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """Return a response that carries problem details, as far as its status has a body."""
    if status < 200 or status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return Response(status_code=status, headers=headers)
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=list(errors) or None,
        request_id=request_id,
    )
    content = jsonable_encoder(body, exclude_none=True)
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def handle_app_error(_request: Request, error: AppError) -> Response:
    return problem(error.status, str(error), error.errors, error.headers)


async def handle_http_error(request: Request, error: HTTPException) -> Response:
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(allowed_methods(request))}
    return problem(error.status_code, str(error.detail), headers=headers)


def allowed_methods(request: Request) -> list[str]:
    """Return what a path allows; Starlette tells only of the first route that has the path."""
    app: FastAPI = request.app
    return [
        method.value
        for method in HTTPMethod
        for scope in [{**request.scope, "method": method.value}]
        if any(route.matches(scope)[0] is Match.FULL for route in app.routes)
    ]


async def handle_invalid_request(_request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    errors = [Reason(location=list(e["loc"]), reason=e["msg"]) for e in found[:MAX_ERRORS]]
    detail = "The request is invalid."
    if len(found) > MAX_ERRORS:
        # The total is unknown: validation may have stopped early.
        detail += f" It has more than {MAX_ERRORS} errors; the first {MAX_ERRORS} are listed."
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


async def handle_invalid_response(_request: Request, error: ResponseValidationError) -> Response:
    """Raise the error without its values, which would be logged; it is an unexpected error."""
    reasons = [{"loc": e["loc"], "msg": e["msg"]} for e in error.errors()[:MAX_ERRORS]]
    safe = ResponseValidationError(reasons, endpoint_ctx=error.endpoint_ctx)
    raise safe.with_traceback(error.__traceback__) from None


async def handle_unexpected_error(request: Request, _error: Exception) -> Response:
    request_id = get_contextvars().get("request_id")
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    # Servers close the connection after an exception; HTTP/2 has no `Connection` header.
    is_http_1 = str(request.scope.get("http_version", "1.1")).startswith("1")
    headers = {"Connection": "close"} if is_http_1 else {}
    return problem(status, "The server failed.", headers=headers, request_id=request_id)


def document_problems(app: FastAPI) -> None:
    """Add to the documentation what RESPONSES refers to; FastAPI knows only JSON's models."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        template = "#/components/schemas/{model}"
        schema = Problem.model_json_schema(ref_template=template)
        parts = schema.pop("$defs") | {"Problem": schema}
        document.setdefault("components", {}).setdefault("schemas", {}).update(parts)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure with problem details, and document them."""
    document_problems(app)
    app.exception_handler(AppError)(handle_app_error)
    app.exception_handler(HTTPException)(handle_http_error)
    app.exception_handler(RequestValidationError)(handle_invalid_request)
    app.exception_handler(ResponseValidationError)(handle_invalid_response)
    app.exception_handler(Exception)(handle_unexpected_error)
    # The outermost layer answers what middleware raises; this one answers inside of it, so that
    # the headers that middleware adds are on the answer to an unexpected error as well.
    app.add_middleware(ServerErrorMiddleware, handler=handle_unexpected_error)
