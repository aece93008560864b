"""Run commands on a private server of the project in the current folder.

python run_with_server.py COMMAND … --then COMMAND …; stops at the first that fails.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.database_server import run_server


def main(arguments: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        run_server(Path(folder) / "data") as url,
    ):
        environment = os.environ | {"DATABASE_URL": url}
        while arguments:
            end = arguments.index("--then") if "--then" in arguments else len(arguments)
            subprocess.run(arguments[:end], env=environment, check=True)
            arguments = arguments[end + 1 :]


if __name__ == "__main__":
    main(sys.argv[1:])
