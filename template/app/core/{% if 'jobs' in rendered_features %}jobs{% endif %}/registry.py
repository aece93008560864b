"""The decorator of handlers, and the jobs that it registers by their names."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import timedelta
from inspect import Parameter, signature
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, validate_call
from pydantic_core import to_jsonable_python

from app.core.database import Session
from app.core.jobs.broker.settings import get_broker_settings
from app.core.jobs.settings import get_jobs_settings

P = ParamSpec("P")


class NextStep:
    """What a handler returns to continue in another transaction, with these arguments."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments


Handler: TypeAlias = Callable[Concatenate[Session, P], Awaitable[NextStep | None]]


class PermanentError(Exception):
    """Raised by a handler whose job must not be retried."""


@dataclass(frozen=True)
class CurrentJob:
    """The job that runs; its id is the idempotency key of effects outside of the database."""

    id: UUID
    name: str
    attempt: int


@dataclass(frozen=True)
class Job(Generic[P]):
    """A handler, and how its jobs run; `enqueue` takes it with the handler's arguments."""

    name: str
    handler: Handler[P]
    timeout: float
    attempts: int
    delay: timedelta = timedelta()
    priority: int = 0
    unique_key: str | None = None

    def with_options(
        self,
        *,
        delay: timedelta = timedelta(),
        priority: int = 0,
        unique_key: str | None = None,
    ) -> "Job[P]":
        """Return the job with other options.

        It runs after `delay`, before due jobs with a greater `priority`, and is enqueued only if no
        job has the same `unique_key`, waiting, running or failed.
        """
        return replace(self, delay=delay, priority=priority, unique_key=unique_key)

    def arguments(self, /, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return arguments by name, as JSON. Raises TypeError if the handler does not take them."""
        _, *bound = signature(self.handler).bind(None, *args, **kwargs).arguments.items()
        arguments: dict[str, Any] = to_jsonable_python(dict(bound))
        return arguments

    async def __call__(
        self, session: Session, /, *args: P.args, **kwargs: P.kwargs
    ) -> NextStep | None:
        """Run the handler; raises ValidationError for arguments of the wrong types."""
        return await self.handler(session, *args, **kwargs)


NOT_STORED = {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
JOBS: dict[str, Job[Any]] = {}
CURRENT_JOB: ContextVar[CurrentJob] = ContextVar("current_job")


def current_job() -> CurrentJob:
    """Return the job that runs. Raises LookupError outside of a handler."""
    return CURRENT_JOB.get()


def job(*, timeout: float = 60, attempts: int = 5) -> Callable[[Handler[P]], Job[P]]:
    """Register a handler by the names of its module and its function, such as `order.send_invoice`.

    It may take `timeout` seconds, and is tried `attempts` times in total.

    Raises TypeError for a handler outside of a `jobs.py`, with the name of another one, or with
    parameters that have no names, and SettingsError for an invalid setting.
    """
    # At import, so that an invalid variable ends the start of the application, and no request.
    get_jobs_settings()
    get_broker_settings()

    def register(handler: Handler[P]) -> Job[P]:
        if handler.__module__.startswith("app.") and not handler.__module__.endswith(".jobs"):
            raise TypeError(f"{handler.__module__}: workers import only jobs.py; move the handler")
        name = f"{handler.__module__.split('.')[-2]}.{handler.__name__}"
        if name in JOBS:
            raise TypeError(f"{name}: another handler has this name; rename one of them")
        if {p.kind for p in signature(handler).parameters.values()} & NOT_STORED:
            raise TypeError(f"{name}: arguments are stored by name; remove *args, **kwargs and /")
        # Errors are stored and logged; arguments may be secret.
        config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)
        validated = validate_call(config=config)(handler)
        JOBS[name] = registered = Job(name, validated, timeout, attempts)
        return registered

    return register
