"""Serve the application with a private database in `.dev`; run by `nox -s dev`."""

import os
import signal
import subprocess
import sys

from app.core.settings import PROJECT_ROOT
from tools.database_server import ServerError, run_server

SERVE = ["uvicorn", "app.main:app", "--reload", "--reload-dir", "app"]


def main(arguments: list[str]) -> int:
    """Migrate the database and serve until interrupted; the arguments go to uvicorn."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with run_server(PROJECT_ROOT / ".dev") as url:
            print(f"DATABASE_URL={url}", flush=True)
            environment = os.environ | {"DATABASE_URL": url}
            for module in (["alembic", "upgrade", "head"], [*SERVE, *arguments]):
                process = subprocess.Popen([sys.executable, "-m", *module], env=environment)
                status = wait(process)
                if status != 0:
                    return status
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def wait(process: "subprocess.Popen[bytes]") -> int:
    """Return the exit status of a process, which is terminated first on an interrupt."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
