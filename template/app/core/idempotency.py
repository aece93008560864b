"""Idempotency keys, for modules that opt in: a repeated POST gets the first response.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Header, Request, Response
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute

from app.core.database import SESSION
from app.core.database_errors import OutcomeUnknownError
from app.core.idempotency_claim import HEADER, Claim, ReplayError
from app.core.idempotency_record import IdempotencyRecord

# The key in a request's scope for the claim of its idempotency key.
CLAIM = "idempotency_claim"

IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Unique for this request: if it is sent again with the same key, it is not"
        " executed again, but gets the first response, with `Idempotency-Replayed: true`",
    ),
]


class IdempotentRoute(APIRoute):
    """A route whose POST can be retried with the same key; created by `idempotent`."""

    records: type[IdempotencyRecord]

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[Dependency] | None = None,
        methods: set[str] | list[str] | None = None,
        **options: Any,
    ) -> None:
        if methods and "POST" in methods:
            # Last, after dependencies that authenticate.
            dependencies = [*(dependencies or ()), Depends(self.claim)]
        super().__init__(path, endpoint, dependencies=dependencies, methods=methods, **options)

    async def claim(
        self, request: Request, idempotency_key: IdempotencyKey = None
    ) -> AsyncIterator[None]:
        if idempotency_key is None:
            yield
            return
        claim = Claim(self.records, request, idempotency_key, await request.body())
        await claim.take()
        request.scope[CLAIM] = claim
        try:
            yield
        except OutcomeUnknownError:
            # If the response was committed, it is replayed; if not, the lease expires.
            raise
        except BaseException:
            await claim.release()
            raise

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            if HEADER in request.headers:
                # Cached for the fingerprint, before form parsing consumes it.
                await request.body()
            try:
                response = await handle(request)
            except ReplayError as replay:
                return replay.response
            claim: Claim | None = request.scope.get(CLAIM)
            if claim is not None:
                await claim.store(response, request.scope.get(SESSION))
            return response

        return handle_once if self.methods and "POST" in self.methods else handle


def idempotent(records: type[IdempotencyRecord]) -> type[IdempotentRoute]:
    """Return the `route_class` of a router whose keys are stored in the table of a model."""
    return type("IdempotentRoute", (IdempotentRoute,), {"records": records})
