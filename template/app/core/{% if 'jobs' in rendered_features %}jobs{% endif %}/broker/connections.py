"""Connections to the broker that carries messages: RabbitMQ, Redis or NATS, by Taskiq."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from app.core.jobs.broker.settings import BrokerSettings

if TYPE_CHECKING:
    from taskiq import AsyncBroker

logger = logging.getLogger(__name__)

Use: TypeAlias = Callable[["AsyncBroker"], Awaitable[None]]

# Seconds to connect, to disconnect, and to publish.
TIMEOUT = 5.0
# Seconds before a connection that failed is replaced.
RECONNECT_WAIT = 1.0
# Minimum time between warnings, in seconds, even if the connection fails repeatedly.
WARNING_INTERVAL = 60.0
# Maximum number of entries in a Redis stream; acknowledged ones are kept.
MAX_ENTRIES = 100_000


async def stay_connected(settings: BrokerSettings, use: Use, *, is_worker: bool = False) -> None:
    """Call `use` with a connected broker, again after each failure, until this is cancelled."""
    for name in ("aio_pika", "aiormq", "nats"):
        # They log each attempt to connect, with a traceback.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warned_at = -WARNING_INTERVAL
    is_down = True
    while True:
        try:
            async with connect(settings, is_worker=is_worker) as broker:
                if is_down:
                    logger.info("connected to the broker")
                is_down = False
                await use(broker)
        # CancelledError, too: a library may have cancelled one of its own tasks.
        except (Exception, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            if monotonic() - warned_at >= WARNING_INTERVAL:
                reason = f"{type(error).__name__}: {error}"
                logger.warning("the broker is unavailable, so that workers poll: %s", reason)
                warned_at = monotonic()
                is_down = True
        await asyncio.sleep(RECONNECT_WAIT)


@asynccontextmanager
async def connect(settings: BrokerSettings, *, is_worker: bool) -> AsyncIterator["AsyncBroker"]:
    broker = create_broker(settings.url or "", settings.queue)
    broker.is_worker_process = is_worker
    try:
        async with asyncio.timeout(TIMEOUT):
            await broker.startup()
        yield broker
    finally:
        with suppress(Exception):
            async with asyncio.timeout(TIMEOUT):
                await broker.shutdown()


def create_broker(url: str, queue: str) -> "AsyncBroker":
    """Return the broker of a URL, whose package is imported here: it is an extra.

    Raises ValueError if the URL is invalid.
    """
    parts = urlsplit(url)
    if parts.scheme.startswith("amqp"):
        from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType

        return AioPikaBroker(
            url,
            exchange=Exchange(name=queue),
            # Replicas, the default, are for messages that must not be lost.
            task_queues=[Queue(name=queue, type=QueueType.CLASSIC)],
            dead_letter_queue=Queue(name=f"{queue}.dead_letter", type=QueueType.CLASSIC),
        )
    if parts.scheme.startswith("redis"):
        from taskiq_redis import RedisStreamBroker

        return RedisStreamBroker(
            url,
            queue_name=queue,
            consumer_group_name=queue,
            # One for all workers, which acknowledge at once: Redis never forgets a consumer.
            consumer_name="worker",
            # A group that is created again, after a loss, begins with the first entry.
            consumer_id="0",
            xread_count=10,
            maxlen=MAX_ENTRIES,
        )
    from nats.js.api import RetentionPolicy, StreamConfig
    from taskiq_nats import PullBasedJetStreamBroker

    login: dict[str, Any] = {}
    if parts.password:
        # The client does not decode a URL.
        login = {"user": unquote(parts.username or ""), "password": unquote(parts.password)}
    return PullBasedJetStreamBroker(
        url,
        stream_name=queue,
        subject=queue,
        durable=queue,
        # By default, a stream keeps messages that were acknowledged.
        stream_config=StreamConfig(retention=RetentionPolicy.WORK_QUEUE),
        pull_consume_timeout=TIMEOUT,
        # Connections that fail are replaced here, as those to other brokers.
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        **login,
    )
