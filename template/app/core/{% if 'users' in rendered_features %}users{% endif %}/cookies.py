"""The cookie of browsers; its prefix lets no other host, nor plain HTTP, set it."""

from fastapi import Response

from app.core.users.authentication import COOKIE
from app.core.users.settings import get_users_settings


def set_session_cookie(response: Response, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=get_users_settings().session_lifetime,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )


def delete_session_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
