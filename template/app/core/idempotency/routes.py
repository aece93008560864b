"""Idempotency keys for modules that opt in: a repeated POST gets the first response.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from app.core.database import SESSION
from app.core.database_errors import OutcomeUnknownError
from app.core.idempotency.claim import HEADER, Claim, IdempotencySettings, ReplayError
from app.core.idempotency.record import IdempotencyRecord
from app.core.settings import read_settings

# Key in the scope of a request for its claim.
CLAIM = "idempotency_claim"
CURRENT_REQUEST: ContextVar[Request] = ContextVar("current_request")

IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Unique key of this request: a retry with the same key is not executed again,"
        " but gets the first response, with `Idempotency-Replayed: true`",
    ),
]


class IdempotentRoute(APIRoute):
    """A route whose POST can be retried with the same key; see `idempotent`."""

    records: type[IdempotencyRecord]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in (options.get("methods") or ()):
            given = options.get("dependencies") or ()
            options["dependencies"] = [*given, Depends(release_after_failure)]
            endpoint = self.claim_before(endpoint)
        super().__init__(path, endpoint, **options)

    def claim_before(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """Return an endpoint that claims the key after all dependencies, such as authentication."""

        @wraps(endpoint)
        async def claim_and_call(*args: Any, **kwargs: Any) -> Any:
            request = CURRENT_REQUEST.get()
            key = request.headers.get(HEADER)
            if key is not None and CLAIM not in request.scope:
                claim = Claim(self.records, request, key, await request.body())
                await claim.acquire()
                request.scope[CLAIM] = claim
            if iscoroutinefunction(endpoint):
                return await endpoint(*args, **kwargs)
            return await run_in_threadpool(endpoint, *args, **kwargs)

        return claim_and_call

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            CURRENT_REQUEST.set(request)
            if HEADER in request.headers:
                # Cached for the fingerprint, before form parsing consumes it.
                await request.body()
            try:
                response = await handle(request)
            except ReplayError as replay:
                return replay.response
            if claim := request.scope.get(CLAIM):
                await claim.store(response, request.scope.get(SESSION))
            return response

        return handle_once if self.methods and "POST" in self.methods else handle


async def release_after_failure(
    request: Request, idempotency_key: IdempotencyKey = None
) -> AsyncIterator[None]:
    """Validate the key; release it if the request or its commit fails."""
    try:
        yield
    except OutcomeUnknownError:
        # If the response was committed, it is replayed; otherwise, the lease ends.
        raise
    except BaseException:
        if claim := request.scope.get(CLAIM):
            await claim.release()
        raise


def idempotent(records: type[IdempotencyRecord]) -> type[IdempotentRoute]:
    """Return the `route_class` for a router whose keys are stored in the table of a model.

    Raises SettingsError for an invalid setting.
    """
    read_settings(IdempotencySettings)
    return type("IdempotentRoute", (IdempotentRoute,), {"records": records})
