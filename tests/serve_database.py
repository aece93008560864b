"""Run a private server of the project in the current folder, until standard input ends.

Its files lie in the folder that the argument names, to be run on again, or in a temporary one.
"""

import sys
import tempfile
from pathlib import Path

from tests.database_server import run_server

if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        run_server(Path(*sys.argv[1:] or [folder], "data")) as url,
    ):
        print(url, flush=True)
        sys.stdin.read()
