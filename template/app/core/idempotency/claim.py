"""Claims of idempotency keys: acquired before a request's transaction, stored with its response."""

import asyncio
import json
import logging
from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import Any, NoReturn, cast
from uuid import UUID, uuid4

from fastapi import Request, Response
from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from app.core.database import Session, SessionFactory, StoredRow, read_rows
from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.errors import RETRY_AFTER_SECONDS, ConflictError, ErrorDetail, InvalidError
from app.core.idempotency.record import IdempotencyRecord
from app.core.models import utc_now
from app.core.settings import EnvironmentSettings, Seconds, read_settings

HEADER = "Idempotency-Key"
# Expired rows that each new key deletes, so that the table does not grow.
DELETED_PER_KEY = 5
# Computed on replay, and secret.
EXCLUDED_HEADERS = {"content-length", "set-cookie"}
# Seconds that an error response waits for the release of its key.
RELEASE_TIMEOUT = 1.0

logger = logging.getLogger(__name__)


class IdempotencySettings(EnvironmentSettings, env_prefix="IDEMPOTENCY_"):
    """How long idempotency keys are kept, in seconds."""

    ttl: Seconds = 24 * 60 * 60
    """Seconds until a stored response expires."""
    lease: Seconds = 120
    """Seconds until a key can be claimed again if the process of its request died."""


@cache
def get_idempotency_settings() -> IdempotencySettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(IdempotencySettings)


class KeyInUseError(ConflictError):
    """A request with the same key is in progress."""

    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}

    def __init__(self) -> None:
        super().__init__(f"A request with this {HEADER} is in progress; retry later.")


class KeyReusedError(InvalidError):
    """The key was used for a different request."""

    def __init__(self) -> None:
        reason = "was used for a different request"
        detail = ErrorDetail(location=["header", HEADER.lower()], reason=reason)
        super().__init__(f"This {HEADER} {reason}; use a new key.", [detail])


class ReplayError(Exception):
    """Carries a stored response from the claim to the route."""

    def __init__(self, row: StoredRow) -> None:
        self.response = Response(row.body, row.status)
        for name, value in json.loads(row.headers):
            self.response.headers.append(name, value)
        self.response.headers["Idempotency-Replayed"] = "true"


def fingerprint(request: Request, body: bytes) -> str:
    """Return a hash of the caller, the target and the body of a request."""
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

    async def acquire(self) -> None:
        """Claim the key; raises ReplayError, KeyInUseError or KeyReusedError if it is taken."""
        row = await self._find()
        if row is not None and row.expires_at > utc_now():
            self._raise_taken(row)
        if not await (self._take_over(row) if row else self._insert()):
            # Another request was faster.
            self._raise_taken(await self._find())

    def _raise_taken(self, row: StoredRow | None) -> NoReturn:
        if row is not None and row.fingerprint != self.fingerprint:
            raise KeyReusedError
        if row is None or row.status is None:
            raise KeyInUseError
        raise ReplayError(row)

    async def _find(self) -> StoredRow | None:
        # Not in a write transaction, which on SQLite waits for the first request.
        async with self.factory() as session:
            statement = select(self.table).where(self.table.c.key == self.key)
            rows = await read_rows(session, statement, {})
            return rows[0] if rows else None

    async def _insert(self) -> bool:
        try:
            await delete_expired(self.factory, self.table, DELETED_PER_KEY)
            async with self.factory.begin() as session:
                await session.execute(
                    insert(self.table).values(key=self.key, **self._claim_values())
                )
        except DBAPIError as error:
            # Another request inserted it; MariaDB reports a deadlock if it was just deleted.
            if classify_error(error) in {ErrorKind.CONFLICT, ErrorKind.RETRYABLE}:
                return False
            raise
        return True

    async def _take_over(self, row: StoredRow) -> bool:
        async with self.factory.begin() as session:
            return await self._update(session, row.claim, self._claim_values())

    def _claim_values(self) -> dict[str, Any]:
        return {
            "claim": self.id,
            "fingerprint": self.fingerprint,
            "expires_at": utc_now() + timedelta(seconds=self.settings.lease),
            **dict.fromkeys(("status", "headers", "body")),
        }

    async def store(self, response: Response, session: Session | None) -> None:
        """Store the response of a request in its transaction.

        Raises KeyInUseError if another request claimed the key after the lease ended, and TypeError
        for a response without a body, such as a stream.
        """
        body = getattr(response, "body", None)
        if not isinstance(body, bytes):
            raise TypeError(f"a {type(response).__name__} cannot be stored for an {HEADER}")
        kept = [(k, v) for k, v in response.headers.items() if k not in EXCLUDED_HEADERS]
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
        """Release the key of a failed request; if that fails, it is locked until its lease ends."""
        ours = (self.table.c.key == self.key, self.table.c.claim == self.id)
        unused = delete(self.table).where(*ours, self.table.c.status.is_(None))
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT), self.factory.begin() as session:
                await session.execute(unused)
        except Exception as error:
            # The response is the error of the request.
            reason = type(error).__name__
            logger.warning("An idempotency key is locked until its lease ends: %s", reason)

    async def _update(self, session: Session, claim: UUID, values: dict[str, Any]) -> bool:
        ours = (self.table.c.key == self.key, self.table.c.claim == claim)
        result = await session.execute(update(self.table).where(*ours).values(**values))
        return bool(result.rowcount)  # type: ignore[attr-defined]


async def delete_expired(factory: SessionFactory, table: Table, limit: int) -> None:
    """Delete up to `limit` expired keys.

    By primary key and in order, so that two transactions cannot deadlock.
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
