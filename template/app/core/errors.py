"""Failures that services raise, and the problem details (RFC 9457) that clients get for them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException


class AppError(Exception):
    """A failure that is the caller's to know; its text becomes the problem's detail."""

    status = HTTPStatus.BAD_REQUEST


class NotFoundError(AppError):
    status = HTTPStatus.NOT_FOUND

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"There is no {kind} {key}.")


class ConflictError(AppError):
    status = HTTPStatus.CONFLICT


class UnavailableError(AppError):
    status = HTTPStatus.SERVICE_UNAVAILABLE


class Problem(BaseModel):
    """Problem details: https://www.rfc-editor.org/rfc/rfc9457"""

    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


# What the documentation says of the answers of the handlers below.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "The request cannot be fulfilled.",
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    },
}


def problem(
    status: int,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a response that carries problem details."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors)
    return JSONResponse(
        jsonable_encoder(body, exclude_none=True),
        status,
        headers,
        media_type="application/problem+json",
    )


async def handle_app_error(_request: Request, error: AppError) -> JSONResponse:
    return problem(error.status, str(error))


async def handle_http_error(_request: Request, error: HTTPException) -> JSONResponse:
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def handle_invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    errors = [{"location": e["loc"], "reason": e["msg"]} for e in error.errors()]
    return problem(422, "The request is invalid.", errors)


async def handle_conflict(_request: Request, _error: SQLAlchemyError) -> JSONResponse:
    return problem(HTTPStatus.CONFLICT, "The change clashes with what is stored.")


async def handle_unexpected_error(_request: Request, _error: Exception) -> JSONResponse:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed.")


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure with problem details."""
    app.exception_handler(AppError)(handle_app_error)
    app.exception_handler(HTTPException)(handle_http_error)
    app.exception_handler(RequestValidationError)(handle_invalid_request)
    app.exception_handler(IntegrityError)(handle_conflict)
    app.exception_handler(StaleDataError)(handle_conflict)
    app.exception_handler(Exception)(handle_unexpected_error)
