"""The claim of an idempotency key, from before a request's transaction to its response."""

import asyncio
import json
import logging
from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import Any, NoReturn, cast
from uuid import UUID, uuid4

from fastapi import Request, Response
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from app.core.database import Session, SessionFactory, StoredRow, read_rows
from app.core.error_dialect import meaning
from app.core.error_meaning import Meaning
from app.core.errors import SECONDS_TO_RETRY, ConflictError, InvalidError, Reason
from app.core.idempotency_record import IdempotencyRecord
from app.core.models import utc_now
from app.core.settings import FROM_ENVIRONMENT, Seconds, read_settings

HEADER = "Idempotency-Key"
# Expired rows that each new key removes, so that the table does not grow.
REMOVED_AT_ONCE = 5
# A header that a replay computes, and one that is secret.
NOT_STORED = {"content-length", "set-cookie"}
# A response waits no longer for its key to be freed.
SECONDS_TO_RELEASE = 1.0

logger = logging.getLogger(__name__)


class IdempotencySettings(BaseSettings):
    """How long keys are kept, in seconds."""

    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="IDEMPOTENCY_")

    ttl: Seconds = 24 * 60 * 60
    """Until a stored response expires."""
    lease: Seconds = 120
    """Until a key can be claimed again if its request never ended, because its process died."""


@cache
def get_idempotency_settings() -> IdempotencySettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(IdempotencySettings)


class KeyInUseError(ConflictError):
    """The first request with a key is still in progress."""

    headers = {"Retry-After": str(SECONDS_TO_RETRY)}

    def __init__(self) -> None:
        super().__init__(f"A request with this {HEADER} is in progress; try again later.")


class KeyReusedError(InvalidError):
    """A key was used for another request."""

    def __init__(self) -> None:
        reason = Reason(location=["header", HEADER.lower()], reason="was used for another request")
        super().__init__(f"This {HEADER} was used for another request; use a new one.", [reason])


class ReplayError(Exception):
    """Carries the stored response from the dependency that finds it to the route."""

    def __init__(self, row: StoredRow) -> None:
        self.response = Response(row.body, row.status)
        for name, value in json.loads(row.headers):
            self.response.headers.append(name, value)
        self.response.headers["Idempotency-Replayed"] = "true"


def fingerprint(request: Request, body: bytes) -> str:
    """Return a hash of what identifies a request: its caller, target and body."""
    url, caller = request.url, request.headers.get("Authorization")
    target = json.dumps([request.method, url.path, url.query, caller])
    return sha256(target.encode() + b"\n" + body).hexdigest()


class Claim:
    """The right of one request to use a key, until its lease ends."""

    def __init__(self, records: type[IdempotencyRecord], request: Request, key: str, body: bytes):
        self.table = cast(Table, records.__table__)
        self.factory: SessionFactory = request.app.state.session_factory
        self.settings = get_idempotency_settings()
        self.key = sha256(key.encode()).hexdigest()
        self.fingerprint = fingerprint(request, body)
        self.id = uuid4()

    async def take(self) -> None:
        """Claim the key; raises ReplayError, KeyInUseError or KeyReusedError if it is taken."""
        row = await self._find()
        if row is not None and row.expires_at > utc_now():
            self._explain(row)
        if not await (self._take_over(row) if row else self._insert()):
            # Another request was faster.
            self._explain(await self._find())

    def _explain(self, row: StoredRow | None) -> NoReturn:
        if row is not None and row.fingerprint != self.fingerprint:
            raise KeyReusedError
        if row is None or row.status is None:
            raise KeyInUseError
        raise ReplayError(row)

    async def _find(self) -> StoredRow | None:
        # Without a transaction: on SQLite, one that writes would wait for the first request.
        async with self.factory() as session:
            statement = select(self.table).where(self.table.c.key == self.key)
            rows = await read_rows(session, statement, {})
            return rows[0] if rows else None

    async def _insert(self) -> bool:
        try:
            await delete_expired(self.factory, self.table, REMOVED_AT_ONCE)
            async with self.factory.begin() as session:
                await session.execute(insert(self.table).values(key=self.key, **self._claimed()))
        except DBAPIError as error:
            # Another request inserted it; on MariaDB, that is a deadlock if it was just deleted.
            if meaning(error) in {Meaning.CLASH, Meaning.AGAIN}:
                return False
            raise
        return True

    async def _take_over(self, row: StoredRow) -> bool:
        async with self.factory.begin() as session:
            return await self._update(session, row.claim, self._claimed())

    def _claimed(self) -> dict[str, Any]:
        return {
            "claim": self.id,
            "fingerprint": self.fingerprint,
            "expires_at": utc_now() + timedelta(seconds=self.settings.lease),
            **dict.fromkeys(("status", "headers", "body")),
        }

    async def store(self, response: Response, session: Session | None) -> None:
        """Store the response of a request in its transaction.

        Raises KeyInUseError if the lease has ended and another request has claimed the key, and
        TypeError for a response that cannot be stored.
        """
        body = getattr(response, "body", None)
        if not isinstance(body, bytes):
            raise TypeError(f"{type(response).__name__} has no body to store for the key")
        kept = [(k, v) for k, v in response.headers.items() if k not in NOT_STORED]
        values = {
            "status": response.status_code,
            "headers": json.dumps(kept),
            "body": body,
            "expires_at": utc_now() + timedelta(seconds=self.settings.ttl),
        }
        if session is not None:
            is_ours = await self._update(session, self.id, values)
        else:
            async with self.factory.begin() as own:
                is_ours = await self._update(own, self.id, values)
        if not is_ours:
            raise KeyInUseError

    async def release(self) -> None:
        """Free the key of a request that stored nothing, or leave that to the end of the lease."""
        ours = (self.table.c.key == self.key, self.table.c.claim == self.id)
        unused = delete(self.table).where(*ours, self.table.c.status.is_(None))
        try:
            async with asyncio.timeout(SECONDS_TO_RELEASE), self.factory.begin() as session:
                await session.execute(unused)
        except Exception as error:
            # The request has failed already, and its own error is the response.
            reason = type(error).__name__
            logger.warning("An idempotency key is kept until its lease ends: %s", reason)

    async def _update(self, session: Session, claim: UUID, values: dict[str, Any]) -> bool:
        ours = (self.table.c.key == self.key, self.table.c.claim == claim)
        result = await session.execute(update(self.table).where(*ours).values(**values))
        return bool(result.rowcount)  # type: ignore[attr-defined]


async def delete_expired(factory: SessionFactory, table: Table, limit: int) -> None:
    """Delete keys that have expired, up to `limit`.

    They are deleted by primary key in the same order, so that two transactions cannot deadlock.
    """
    now = utc_now()
    expired = select(table.c.key).where(table.c.expires_at <= now).limit(limit)
    async with factory() as session:
        keys = sorted(row.key for row in await read_rows(session, expired, {}))
    if keys:
        async with factory.begin() as session:
            for key in keys:
                gone = (table.c.key == key, table.c.expires_at <= now)
                await session.execute(delete(table).where(*gone))
