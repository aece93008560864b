"""Private message brokers, their files in temporary folders: RabbitMQ, Redis and NATS."""

import os
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.applications import wait_for

USER, PASSWORD = "default", "p@ss%/:#?"
SECONDS_TO_START = 30
# Debian's programs on the PATH run as root or as the user rabbitmq, and change their folder.
DEBIAN = Path("/usr/lib/rabbitmq/bin")


class Broker(ABC):
    """A server that can be killed, started again on the same port, and emptied."""

    scheme: str
    program: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"{self.scheme}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}"

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server."""

    @abstractmethod
    def empty(self, queue: str) -> None:
        """Delete a queue with its messages."""

    def variables(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=os.environ | self.variables(),
                stdout=log,
                stderr=log,
                # A group of its own: RabbitMQ starts further processes.
                start_new_session=True,
            )
        wait_for(self.is_ready, SECONDS_TO_START)

    def is_ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text("utf-8")
        with suppress(OSError):
            # Eight bytes, to which RabbitMQ answers that they are not its protocol.
            return bool(self.talk("PING\r\n"))
        return False

    def talk(self, *lines: str, until: str = "") -> bytes:
        """Send lines, and return the answer up to a text."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
            while not received or until.encode() not in received:
                data = connection.recv(4096)
                assert data, f"{until!r} is not in {received!r}"
                received += data
        return received

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process:
            self.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


class RabbitMQ(Broker):
    scheme, program = "amqp", "rabbitmq-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.node = f"test-{self.port}@localhost"
        self.other_ports = {"RABBITMQ_DIST_PORT": free_port(), "ERL_EPMD_PORT": free_port()}

    def command(self) -> list[str]:
        # Otherwise, a daemon for all nodes of the machine would be started, and left behind.
        return ["sh", "-c", 'epmd & exec "$0"', self.path("rabbitmq-server")]

    def path(self, program: str) -> str:
        return str(DEBIAN / program) if DEBIAN.exists() else program

    def variables(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            **{name: str(port) for name, port in self.other_ports.items()},
            "HOME": folder,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_DEFAULT_PASS": PASSWORD,
            "RABBITMQ_DEFAULT_USER": USER,
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }

    def empty(self, queue: str) -> None:
        command = [self.path("rabbitmqctl"), "--node", self.node, "delete_queue", queue]
        subprocess.run(command, env=os.environ | self.variables(), capture_output=True, check=True)


class Redis(Broker):
    """Nothing is on disk: a kill empties it, too."""

    scheme, program = "redis", "redis-server"

    def command(self) -> list[str]:
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [self.program, *address, "--save", "", "--requirepass", PASSWORD]

    def empty(self, queue: str) -> None:
        self.talk(f"AUTH {PASSWORD}", "FLUSHALL", until="+OK\r\n+OK")


class NATS(Broker):
    scheme, program = "nats", "nats-server"

    def command(self) -> list[str]:
        address = ["--addr", "127.0.0.1", "--port", str(self.port)]
        login = ["--user", USER, "--pass", PASSWORD]
        return [self.program, *address, *login, "--jetstream", "--store_dir", str(self.folder)]

    def empty(self, queue: str) -> None:
        self.talk(
            f'CONNECT {{"verbose": false, "user": "{USER}", "pass": "{PASSWORD}"}}',
            "SUB answer 1",
            f"PUB $JS.API.STREAM.DELETE.{queue} answer 0\r\n",
            until='"success":true',
        )


BROKERS = {broker.program: broker for broker in (RabbitMQ, Redis, NATS)}


def require_broker(program: str) -> None:
    """Skip, or fail under CI, where a broker is missing."""
    if not shutil.which(program):
        message = f"{program} is not on the PATH; install it (apt-get install {program})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def free_port() -> int:
    """Return a port that no process uses now."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])
