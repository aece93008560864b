"""Run a private server of the project in the current folder, until standard input ends.

Its files lie in the folder that the first argument names, to be run on again; at first they are a
copy of those in the second one, if it exists. With a third one, PostgreSQL's programs come from it.
"""

import shutil
import sys
from pathlib import Path

from tools.database_server import run_server

if __name__ == "__main__":
    folder, initialized, *programs = map(Path, sys.argv[1:])
    if programs:
        from tools import postgresql_programs

        postgresql_programs.WHEEL = programs[0]
    elif not (folder / "data").exists() and (initialized / "data").exists():
        shutil.copytree(initialized / "data", folder / "data")
    # The copied data folder has fsync off; one that is initialized here needs no durability either.
    with run_server(folder / "data", durable=not programs) as url:
        print(url, flush=True)
        sys.stdin.read()
