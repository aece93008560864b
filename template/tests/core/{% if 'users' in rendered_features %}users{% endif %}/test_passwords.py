"""Password hashes: a limited number at the same time, with the configured parameters."""

import asyncio
import threading
import time

import pytest

from app.core.errors import UnavailableError
from app.core.users.passwords.hashes import PasswordHasher
from app.core.users.settings import UsersSettings
from tests.core.users.conftest import PASSWORD


def make_hasher(**settings: int) -> PasswordHasher:
    return PasswordHasher(UsersSettings.model_validate({"link_url": "https://x.test", **settings}))


class Gate:
    """Takes the place of a hash function, and counts the calls that run."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.running = self.most = 0
        self.lock = threading.Lock()

    def __call__(self) -> bool:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.is_open.wait(5)
        with self.lock:
            self.running -= 1
        return True


async def test_hashes_are_salted_argon2id_with_the_configured_parameters() -> None:
    hasher = make_hasher(argon2_memory_cost=8192, argon2_time_cost=2, argon2_parallelism=1)
    first, second = await hasher.hash(PASSWORD), await hasher.hash(PASSWORD)
    assert first.startswith("$argon2id$v=19$m=8192,t=2,p=1$")
    assert first != second
    assert await hasher.verify(PASSWORD, first) == (True, None)
    assert await hasher.verify(PASSWORD.upper(), first) == (False, None)


async def test_without_a_stored_hash_every_password_is_wrong() -> None:
    assert await make_hasher().verify(PASSWORD, None) == (False, None)


async def test_long_passwords_are_not_cut() -> None:
    hasher = make_hasher()
    stored = await hasher.hash("x" * 1000)
    assert await hasher.verify("x" * 999, stored) == (False, None)
    assert await hasher.verify("x" * 1000, stored) == (True, None)


async def test_a_flood_waits_and_then_is_rejected() -> None:
    hasher, gate = make_hasher(hash_concurrency=2, hash_queue=3), Gate()
    tasks = [asyncio.create_task(hasher._run(gate)) for _ in range(9)]
    await asyncio.sleep(0.1)
    assert gate.running == 2
    gate.is_open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.most == 2
    assert [*map(type, results)] == [bool] * 5 + [UnavailableError] * 4
    assert hasher._pending == 0
    assert await hasher.verify(PASSWORD, None) == (False, None)


async def test_cancelled_requests_still_count_while_their_hash_is_computed() -> None:
    hasher, gate = make_hasher(hash_concurrency=1, hash_queue=1), Gate()
    tasks = [asyncio.create_task(hasher._run(gate)) for _ in range(2)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # The one that waited is gone, the other one cannot be stopped.
    assert hasher._pending == 1
    waiting = asyncio.create_task(hasher._run(gate))
    await asyncio.sleep(0.1)
    assert (gate.running, gate.most) == (1, 1)
    gate.is_open.set()
    assert await waiting


async def test_the_event_loop_goes_on_meanwhile() -> None:
    hasher = make_hasher(argon2_memory_cost=65536, argon2_time_cost=8, argon2_parallelism=1)
    task = asyncio.create_task(hasher.hash(PASSWORD))
    ticks, longest, last = 0, 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        ticks, longest, last = ticks + 1, max(longest, now - last), now
    assert ticks > 10


@pytest.mark.parametrize("name", ["argon2_memory_cost", "argon2_time_cost", "argon2_parallelism"])
def test_parameters_that_are_too_cheap_are_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make_hasher(**{name: 0})
