"""Demonstrate a rendered project; `nox -s demo` runs this in its folder and environment."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from tools.database_server import ServerError, run_server

SECONDS_TO_START = 60
NEXT = """
All servers are stopped. To work on the project:

    cd {folder}
    uv run nox -s dev       # serve it on a private database, with reload
    uv run pytest           # run its tests
"""


def main(arguments: list[str]) -> int:
    """Run the demonstration; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as folder:
            run_demo(Path(folder), serve="--serve" in arguments)
    except KeyboardInterrupt:
        print("\nInterrupted; all servers are stopped.")
        return 130
    except (ServerError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(NEXT.format(folder=shlex.quote(str(Path.cwd()))))
    return 0


def run_demo(folder: Path, *, serve: bool) -> None:
    print_step("Start a private PostgreSQL")
    with run_server(folder / "data") as url:
        print(f"    {url}")
        os.environ["DATABASE_URL"] = url
        print_step("alembic upgrade head")
        alembic("upgrade", "head")
        print_step("Start the application")
        with application() as address:
            print(f"    {address}")
            with httpx2.Client(base_url=address) as client:
                exercise_api(client)
            print_step("alembic check (do the models match the migrations?)")
            alembic("check")
            if serve:
                print(f"\nTry it: {address}/docs (Ctrl-C stops everything)", flush=True)
                while True:
                    time.sleep(60)


def exercise_api(client: Any) -> None:
    """Create, get, list, update and delete an item."""
    items = "/api/v1/items"
    created = request(client, 201, "POST", items, {"name": "Lamp", "description": "Bright"})
    item = f"{items}/{created['id']}"
    request(client, 200, "GET", item)
    request(client, 200, "GET", f"{items}?limit=10")
    request(client, 200, "PATCH", item, {"name": "Desk lamp"})
    request(client, 204, "DELETE", item)
    request(client, 404, "GET", item)


def request(client: Any, expected: int, method: str, path: str, body: Any = None) -> Any:
    print_step(f"{method} {path}" + (f" {json.dumps(body)}" if body else ""))
    response = client.request(method, path, json=body)
    print(f"    {response.status_code} {response.reason_phrase}")
    content = response.json() if response.content else None
    if content is not None:
        print("\n".join(f"    {line}" for line in json.dumps(content, indent=2).splitlines()))
    if response.status_code != expected:
        raise SystemExit(f"Expected status {expected}; this is a bug in the template.")
    return content


def alembic(*arguments: str) -> None:
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print("\n".join(f"    {line}" for line in done.stdout.decode().splitlines()))


@contextmanager
def application() -> Iterator[str]:
    """Serve the application, yield its URL, and stop it on exit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = ["uvicorn", "app.main:app", "--log-level", "warning"]
    # A separate session, so that Ctrl-C stops it only after its last responses.
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)], start_new_session=True
    )
    try:
        wait(process, address)
        yield address
    finally:
        process.terminate()
        process.wait()


def wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{address}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise SystemExit("The application did not start; see its messages above.")


def print_step(text: str) -> None:
    print(f"\n* {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
