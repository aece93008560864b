"""Retries of requests that lost a race for rows: a deadlock, or a row that changed meanwhile."""

from fastapi import FastAPI
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError
from stamina import retry_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.error_dialect import meaning
from app.core.error_meaning import Meaning
from app.core.settings import FROM_ENVIRONMENT, Seconds, read_settings


class RetrySettings(BaseSettings):
    """How often to try a request whose transaction lost a race."""

    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="RETRY_")

    attempts: int = Field(default=3, ge=1, le=10)
    """Tries in all; 1 is never again."""
    wait: Seconds = 0.05
    """Seconds before the second try, or up to twice that; each further wait is longer."""


def is_worth_it(error: Exception) -> bool:
    """Return whether the same transaction may succeed the next time."""
    if isinstance(error, StaleDataError):
        return True
    return isinstance(error, DBAPIError) and meaning(error) is Meaning.AGAIN


class RetryMiddleware:
    """Runs a request again, up to `attempts` times in all, until a response begins.

    That changes nothing twice: the transaction was rolled back, and a response begins only after
    the commit. What a handler does outside of the database, it does again.
    """

    def __init__(self, app: ASGIApp, settings: RetrySettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.settings.attempts == 1:
            return await self.app(scope, receive, send)
        exchange = Exchange(receive, send)
        try:
            await self.app({**scope, "retries": True}, exchange.receive, exchange.send)
        except (DBAPIError, StaleDataError) as error:
            if exchange.started or not is_worth_it(error):
                raise
            await self.try_again(scope, exchange, error)

    async def try_again(self, scope: Scope, exchange: "Exchange", error: Exception) -> None:
        attempts = self.settings.attempts
        async for attempt in retry_context(
            lambda error: is_worth_it(error) and not exchange.started,
            attempts=attempts,
            wait_initial=self.settings.wait,
            wait_jitter=self.settings.wait,
        ):
            with attempt:
                if attempt.num == 1:
                    # Who tries again at once takes the rows before the one who waits for them.
                    raise error
                exchange.rewind()
                # Repositories lock the rows they get, so that it cannot lose the same race again.
                again = {**scope, "retries": attempt.num < attempts, "locks_rows": True}
                await self.app(again, exchange.receive, exchange.send)


class Exchange:
    """The messages of a request, kept to be received again, and whether its response began."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._kept: list[Message] = []
        self._next = 0
        self.started = False

    def rewind(self) -> None:
        self._next = 0

    async def receive(self) -> Message:
        if self._next == len(self._kept):
            self._kept.append(await self._receive())
        self._next += 1
        return self._kept[self._next - 1]

    async def send(self, message: Message) -> None:
        self.started = True
        await self._send(message)


def install_retries(app: FastAPI) -> None:
    app.add_middleware(RetryMiddleware, settings=read_settings(RetrySettings))
