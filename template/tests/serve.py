"""Serve the application on a private database that stays in `.dev`: what `nox -s dev` runs."""

import os
import signal
import subprocess
import sys

from app.core.settings import PROJECT_ROOT
from tests.database_server import ServerError, run_server

SERVE = ["uvicorn", "--factory", "app.main:create_app", "--reload", "--reload-dir", "app"]


def main(arguments: list[str]) -> int:
    """Migrate and serve until interrupted; the arguments are uvicorn's."""
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
    """Wait for a process; end it and wait on if interrupted."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
