"""Jobs of the rendered project."""

import rows
from app.core.jobs import enqueue
from app.modules.item import jobs
from sqlalchemy import text

HANDLERS = {"nothing": jobs.do_nothing, "session": jobs.write_row}


class Queue:
    async def open(self) -> None:
        self.sessions = rows.session_factory()

    async def fill(self, kind: str, count: int) -> None:
        async with self.sessions.begin() as session:
            for number in range(count):
                await enqueue(session, HANDLERS[kind], number=number)

    async def remaining(self) -> int:
        async with self.sessions() as session:
            return await session.scalar(text("SELECT count(*) FROM queued_job"))

    async def clear(self) -> None:
        async with self.sessions.begin() as session:
            await session.execute(text("TRUNCATE queued_job"))

    async def enqueue_by_session(self, number: int) -> None:
        async with self.sessions.begin() as session:
            session.add(rows.entity(number))
            await enqueue(session, jobs.do_nothing, number=number)
