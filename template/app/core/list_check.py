"""Checks at start the query classes of modules whose repositories name none."""

from collections.abc import Iterator
from typing import Any

from app.core.pagination import PageQuery
from app.core.query_check import check_query
from app.core.repository import Repository

MODULES = "app.modules."


def check_queries() -> None:
    """Raise TypeError if a query class does not fit the only repository of its module."""
    queries = [one for one in _subclasses(PageQuery) if _module(one)]
    repositories = [
        one
        for one in _subclasses(Repository)
        if _module(one) and hasattr(getattr(one, "model", None), "__mapper__")
    ]
    modules = [_module(one) for one in repositories]
    for repository in repositories:
        module = _module(repository)
        # With several repositories, nothing says which of them a query class belongs to.
        if modules.count(module) == 1 and repository.page_query is PageQuery:
            for query in queries:
                if _module(query) == module:
                    check_query(repository.model, query)


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for one in base.__subclasses__():
        yield one
        yield from _subclasses(one)


def _module(one: type[Any]) -> str | None:
    """Return the package of the module that defines a class; None outside of modules."""
    if not one.__module__.startswith(MODULES):
        return None
    return one.__module__.removeprefix(MODULES).partition(".")[0]
