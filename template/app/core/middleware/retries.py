"""Retries of requests whose transaction failed with a deadlock or a concurrent change."""

from fastapi import FastAPI
from pydantic import Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError
from stamina import retry_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.settings import EnvironmentSettings, Seconds, read_settings


class RetrySettings(EnvironmentSettings, env_prefix="RETRY_"):
    """Retries of transactions that failed with a deadlock or a concurrent change."""

    attempts: int = Field(default=3, ge=1, le=10)
    """Attempts in total; 1 disables retries."""
    wait: Seconds = 0.05
    """Seconds before the second attempt, plus up to as much jitter; later waits are longer."""


def is_retryable(error: Exception) -> bool:
    """Return whether the same transaction may succeed when retried."""
    if isinstance(error, StaleDataError):
        return True
    return isinstance(error, DBAPIError) and classify_error(error) is ErrorKind.RETRYABLE


class RetryMiddleware:
    """Runs a failed request again, up to `attempts` times in total, unless its response started.

    No change is stored twice: the transaction was rolled back, and a response starts only after the
    commit. Side effects outside of the database are repeated.
    """

    def __init__(self, app: ASGIApp, settings: RetrySettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.settings.attempts == 1:
            return await self.app(scope, receive, send)
        request = ReplayableRequest(receive, send)
        try:
            await self.app({**scope, "retries": True}, request.receive, request.send)
        except (DBAPIError, StaleDataError) as error:
            if request.started or not is_retryable(error):
                raise
            await self.retry(scope, request, error)

    async def retry(self, scope: Scope, request: "ReplayableRequest", error: Exception) -> None:
        attempts = self.settings.attempts
        async for attempt in retry_context(
            lambda error: is_retryable(error) and not request.started,
            attempts=attempts,
            wait_initial=self.settings.wait,
            wait_jitter=self.settings.wait,
        ):
            with attempt:
                if attempt.num == 1:
                    # Without a wait, it would take the rows before the request that waits for them.
                    raise error
                request.rewind()
                # Repositories then lock the rows they get, so that it cannot lose the same race.
                retry_scope = {**scope, "retries": attempt.num < attempts, "locks_rows": True}
                await self.app(retry_scope, request.receive, request.send)


class ReplayableRequest:
    """Records the messages of a request, so that it can be replayed until its response starts."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._messages: list[Message] = []
        self._next = 0
        self.started = False

    def rewind(self) -> None:
        self._next = 0

    async def receive(self) -> Message:
        if self._next == len(self._messages):
            self._messages.append(await self._receive())
        self._next += 1
        return self._messages[self._next - 1]

    async def send(self, message: Message) -> None:
        self.started = True
        await self._send(message)


def install_retries(app: FastAPI) -> None:
    app.add_middleware(RetryMiddleware, settings=read_settings(RetrySettings))
