"""The cookies of a request, by exactly the names that browsers protect."""

from fastapi.requests import HTTPConnection


def read_cookie(connection: HTTPConnection, name: str) -> str:
    """Return the value of a cookie, or an empty string for none and for several.

    Starlette also strips characters such as U+00A0 from names. Browsers accept a cookie with such a
    name before `__Host-` from any host of the site and over plain HTTP, and it would replace the
    real one.
    """
    pairs = [
        pair.strip(" \t").partition("=")
        for header in connection.headers.getlist("Cookie")
        for pair in header.split(";")
    ]
    values = [value for found, _, value in pairs if found == name]
    return values[0] if len(values) == 1 else ""
