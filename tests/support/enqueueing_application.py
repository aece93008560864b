"""The application with a route that enqueues jobs: copied into a rendered project."""

from app.core.database import SessionDep
from app.core.errors import AppError, ConflictError
from app.core.jobs import enqueue
from app.main import create_app as create_real_app
from app.modules.item import jobs
from app.modules.item.schemas import ItemCreate
from app.modules.item.service import ItemService
from fastapi import FastAPI


def create_app() -> FastAPI:
    app = create_real_app()

    @app.post("/enqueue", status_code=201)
    async def enqueue_job(
        session: SessionDep, name: str, key: str | None = None, fails: bool = False
    ) -> None:
        """Create an item, and enqueue a job that creates another one."""
        job = jobs.write.with_options(unique_key=key)
        if await enqueue(session, job, name) is None:
            raise ConflictError("There is a job with this key.")
        await ItemService(session).create(ItemCreate(name=f"request of {name}"))
        if fails:
            raise AppError("The request fails after it has enqueued a job.")

    return app
