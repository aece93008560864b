"""The locations of a request's fields, as errors name them."""

from collections.abc import Iterable
from typing import TypeAlias

from fastapi import Request
from pydantic.alias_generators import to_snake

Location: TypeAlias = list[str | int]


async def request_fields(request: Request) -> dict[str, Location]:
    """Return the location of each field of the query, the path and the body, by its name.

    A field with an alias in camel case is included under its name in snake case, too.
    """
    sources = {
        "query": request.query_params,
        "path": request.path_params,
        "body": await _body(request),
    }
    return {
        key: [source, name]
        for source, names in sources.items()
        for name in names
        for key in (to_snake(name), name)
    }


async def _body(request: Request) -> Iterable[str]:
    """Return the names of the fields of the body, if FastAPI has read one."""
    if getattr(request.scope.get("route"), "body_field", None) is None:
        return ()
    if "json" not in request.headers.get("content-type", ""):
        return await request.form()
    try:
        body = await request.json()
    except ValueError:
        return ()
    return body if isinstance(body, dict) else ()
