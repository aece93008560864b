"""Cancel requests of the project in the current folder in the middle of a query, as ASGI calls."""

import asyncio
import json
import sys

from faulty_application import create_app

COUNT = int(sys.argv[1])


async def cancel(app: object, seconds: float) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/read",
        "headers": [],
        "query_string": b"seconds=5",
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        raise AssertionError(message)

    call = asyncio.create_task(app(scope, receive, send))  # type: ignore[operator]
    await asyncio.sleep(seconds)
    # Up to Python 3.11, a wait_for that is just done, as of a new connection, loses a cancellation:
    # https://github.com/python/cpython/issues/86296
    while not call.done():
        call.cancel()
        await asyncio.wait([call], timeout=1)
    assert call.cancelled()


async def main() -> None:
    app = create_app()
    async with app.router.lifespan_context(app):
        engine = app.state.session_factory.kw["bind"]
        # More than the pool has, so that some wait for it; and not all at the same point.
        for _ in range(5):
            await asyncio.gather(*(cancel(app, 0.05 + i / 100) for i in range(COUNT // 5)))
        checked_out = engine.pool.checkedout()
        async with asyncio.timeout(5):
            async with engine.connect():
                pass
    print(json.dumps({"checked_out": checked_out}))


asyncio.run(main())
