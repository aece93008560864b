"""The file jobs.py of the module `item` in the rendered project."""

from app.core.jobs import job
from app.modules.item.models import Item
from sqlalchemy.ext.asyncio import AsyncSession


@job()
async def do_nothing(session: AsyncSession, number: int) -> None:
    pass


@job()
async def write_row(session: AsyncSession, number: int) -> None:
    session.add(Item(name=f"Item {number}", description="Written by a job"))
