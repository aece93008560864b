"""The cookie of a browser that has started a login with a provider.

https://www.rfc-editor.org/rfc/rfc9700#section-2.1
"""

import re
from typing import Annotated, TypeAlias

from fastapi import Depends, Request, Response

from app.core.users.providers.secrets import new_secret
from app.core.users.providers.started_logins import LIFETIME, LoginNotStartedError
from app.core.users.request_cookies import read_cookie

LOGIN_COOKIE = "__Host-login"
VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def find_login_cookie(request: Request) -> str | None:
    value = read_cookie(request, LOGIN_COOKIE)
    return value if VALUE.fullmatch(value) else None


async def get_login_cookie(request: Request) -> str:
    """Return the cookie. Raises LoginNotStartedError."""
    if (value := find_login_cookie(request)) is None:
        raise LoginNotStartedError
    return value


async def renew_login_cookie(request: Request, response: Response) -> str:
    """Return the cookie that starts a login; other tabs may have started some with the same."""
    value = find_login_cookie(request) or new_secret()
    response.set_cookie(
        LOGIN_COOKIE,
        value,
        max_age=LIFETIME,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return value


NewLoginCookieDep: TypeAlias = Annotated[str, Depends(renew_login_cookie)]
LoginCookieDep: TypeAlias = Annotated[str, Depends(get_login_cookie)]
