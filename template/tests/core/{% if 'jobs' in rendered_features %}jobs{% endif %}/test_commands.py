import argparse
import os
import time
from pathlib import Path

import pytest

from app import worker
from app.core.database import SessionFactory
from app.core.jobs import enqueue
from app.core.jobs.models import QueuedJob
from app.core.jobs.overview import overview
from app.core.jobs.settings import get_jobs_settings
from app.core.models import utc_now
from tests.core.jobs import handlers


@pytest.fixture(autouse=True)
def _new_settings() -> None:
    get_jobs_settings.cache_clear()


async def test_overview_of_jobs_and_failed_jobs(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await enqueue(session, handlers.write, "one")
        key = await enqueue(session, handlers.write, "two")
        failed = await session.get_one(QueuedJob, key)
        failed.due_at, failed.failed_at, failed.error = None, utc_now(), "ValueError: broken\nline"
    async with sessions() as session:
        lines = [line async for line in overview(session)]
    assert [line.split()[:3] for line in lines if line.startswith("jobs.write")] == [
        ["jobs.write", "failed", "1"],
        ["jobs.write", "waiting", "1"],
    ]
    assert any(line.startswith(str(key)) and line.endswith("ValueError: broken") for line in lines)


async def test_requeue_asks_for_ids_or_all() -> None:
    arguments = argparse.Namespace(ids=[], all=False)
    with pytest.raises(SystemExit, match="pass the ids of failed jobs, or --all"):
        await worker.requeue_failed(None, arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("age", "message"), [(None, "no worker has polled"), (100, "for 100 s; limit: 60 s")]
)
def test_health_of_a_worker_that_does_not_look_for_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float | None, message: str
) -> None:
    file = tmp_path / "worker"
    monkeypatch.setenv("JOBS_HEALTH_FILE", str(file))
    if age:
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    with pytest.raises(SystemExit, match=message):
        worker.check_health()


def test_health_of_a_worker_that_looks_for_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "worker"
    file.touch()
    monkeypatch.setenv("JOBS_HEALTH_FILE", str(file))
    worker.check_health()


def test_health_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBS_HEALTH_FILE", raising=False)
    with pytest.raises(SystemExit, match="JOBS_HEALTH_FILE: missing"):
        worker.check_health()
