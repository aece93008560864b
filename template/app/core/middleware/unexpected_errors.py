"""Responses to unexpected errors, with the headers that other middleware adds."""

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware

from app.core.errors import handle_unexpected_error


def install_unexpected_errors(app: FastAPI) -> None:
    """Respond with problem details inside of the middleware that is installed later.

    Starlette's own ServerErrorMiddleware is the outermost layer.
    """
    app.add_middleware(ServerErrorMiddleware, handler=handle_unexpected_error)
