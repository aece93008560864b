"""Load a queue, in the environment of a rendered project, and print a figure.

    load.py MODULE enqueue-session|enqueue-asyncpg SECONDS     transactions per second
    load.py MODULE nothing|session|asyncpg COUNT [PID ...]     seconds until no job remains

The processes of the workers stand still while the queue is filled.
"""

import asyncio
import os
import signal
import sys
import time
from importlib import import_module
from typing import Any

import uvloop

# As many requests at the same time.
CLIENTS = 8
# Seconds between two looks at the queue, and until a worker must have finished.
INTERVAL = 0.02
TIMEOUT = 120


async def drain(queue: Any, kind: str, count: int, workers: list[int]) -> float:
    """Return the seconds in which the workers finish the jobs. Raises TimeoutError."""
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        await queue.fill(kind, count)
    finally:
        began = time.perf_counter()
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    async with asyncio.timeout(TIMEOUT):
        while await queue.remaining():
            await asyncio.sleep(INTERVAL)
    return time.perf_counter() - began


async def enqueue(transaction: Any, seconds: float) -> float:
    """Return the transactions per second that write a row and enqueue a job."""
    finished = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal finished
        while time.perf_counter() - began < seconds:
            await transaction(finished)
            finished += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return finished / (time.perf_counter() - began)


async def main(module: str, kind: str, amount: str, *workers: str) -> None:
    queue = import_module(module).Queue()
    await queue.open()
    if kind.startswith("enqueue"):
        transaction = getattr(queue, kind.replace("-", "_by_"))
        print(await enqueue(transaction, float(amount)))
        await queue.clear()
    else:
        print(await drain(queue, kind, int(amount), [int(worker) for worker in workers]))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
