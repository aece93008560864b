import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.jobs import wakeups
from tests.core.jobs.conftest import until

DISCONNECT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
NOTIFY = text(f"NOTIFY {wakeups.CHANNEL}")


async def test_lost_connections_are_replaced(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "RECONNECT_WAIT", 0)
    woken = asyncio.Event()
    listening = asyncio.create_task(wakeups.listen(engine, woken.set))
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")

        async def is_woken() -> bool:
            await connection.execute(NOTIFY)
            return woken.is_set()

        for _ in range(3):
            # At different stages of a new connection.
            for _ in range(20):
                await connection.execute(DISCONNECT)
            woken.clear()
            await until(is_woken)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
