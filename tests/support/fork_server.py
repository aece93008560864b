"""Run Python commands in forks of one process that has imported the large packages.

It runs in the environment of a rendered project and imports nothing of the project itself. Each
request on the socket whose descriptor is the argument brings standard output; the answer is the
process's identifier and, when it has ended, its exit code. See `Forks` in forks.py.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
import types
from typing import Any

# What most commands import; a package that an environment does not have is left out.
PACKAGES = (
    *("alembic.autogenerate", "alembic.command", "alembic.config", "sqlalchemy.ext.asyncio"),
    *("sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql", "sqlalchemy.dialects.sqlite"),
    *("asyncpg", "asyncmy", "aiosqlite", "pymysql", "psycopg", "greenlet", "filelock"),
    *("fastapi", "fastapi.openapi.utils", "fastapi_offline", "pydantic_settings", "dotenv"),
    *("structlog", "stamina", "uuid_utils", "logging.config", "httpx2", "pytest"),
    *("opentelemetry.sdk.trace", "opentelemetry.sdk.metrics", "importlinter.cli"),
)
SIZE = 1 << 20


def preload() -> None:
    for name in PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Plugins of pytest are imported already, and contain no assertions to rewrite.
    from _pytest.assertion.rewrite import AssertionRewritingHook

    AssertionRewritingHook._warn_already_imported = lambda *_: None  # type: ignore[method-assign]
    # A fork has the thread that forks, and no other one.
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()


def serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request; return it, in the fork. End with the connection's other side."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, SIZE, 1)
        if not data:
            sys.exit()
        pid = os.fork()
        if not pid:
            connection.close()
            for standard in (1, 2):
                os.dup2(descriptors[0], standard)
            os.close(descriptors[0])
            request: dict[str, Any] = json.loads(data)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(b"%d" % pid)
        connection.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def prepare_process(
    arguments: list[str], folder: str, variables: dict[str, str]
) -> types.ModuleType:
    """Make this process what `python` with these arguments is before it runs anything."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    sys.orig_argv[1:] = arguments
    paths = variables.get("PYTHONPATH", "")
    sys.path[:0] = [os.path.abspath(path) for path in paths.split(os.pathsep) if path]
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    return main


def run(main: types.ModuleType, arguments: list[str]) -> None:
    """Do what `python` does with its arguments: -m module, -c code, or a file."""
    match arguments:
        case ["-m", module, *rest]:
            sys.argv = ["-m", *rest]
            sys.path.insert(0, os.getcwd())
            runpy._run_module_as_main(module)  # type: ignore[attr-defined]
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            sys.path.insert(0, "")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        case [file, *rest]:
            sys.argv = [file, *rest]
            sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
            main.__file__ = file
            with open(file, encoding="utf-8") as opened:
                code = opened.read()
            exec(compile(code, file, "exec"), main.__dict__)


if __name__ == "__main__":
    # This script's own folder, in which the modules of the template's tests are.
    del sys.path[0]
    # Ctrl-C reaches this process, too, which ends after those that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.send(b"ready")
        asked = serve(control)
    run(
        prepare_process(asked["arguments"], asked["folder"], asked["variables"]), asked["arguments"]
    )
