"""No dependency of app.core runs in the thread pool, which costs each request a hop to a thread."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts


def find_calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for dependency in dependant.dependencies:
        if dependency.call is not None:
            yield dependency.call
        yield from find_calls(dependency)


def is_async(call: Callable[..., Any]) -> bool:
    """Return whether FastAPI awaits a dependency; it calls all others, also classes, in threads."""
    function = call if inspect.isroutine(call) else type(call).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def test_dependencies_do_not_run_in_threads(app: FastAPI) -> None:
    dependants = [getattr(route, "dependant", None) for route in iter_route_contexts(app.routes)]
    calls = {call for dependant in dependants if dependant for call in find_calls(dependant)}
    names = {
        f"{call.__module__}.{getattr(call, '__qualname__', type(call).__qualname__)}": call
        for call in calls
        if call.__module__.startswith("app.core.")
    }
    assert "app.core.database.open_session" in names
    assert [name for name, call in names.items() if not is_async(call)] == []
