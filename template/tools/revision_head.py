"""Write the heads of the revisions to alembic/versions/HEAD, so that parallel ones conflict in git.

`python -m tools.revision_head` runs after each generated revision and before each commit.
"""

from alembic.config import Config
from alembic.script import ScriptDirectory

from app.core.settings import PROJECT_ROOT

HEAD_FILE = PROJECT_ROOT / "alembic" / "versions" / "HEAD"


def find_heads() -> list[str]:
    """Return the revisions that no other revision follows: one, unless branches need a merge."""
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    return sorted(scripts.get_heads())


if __name__ == "__main__":
    HEAD_FILE.write_text("".join(f"{head}\n" for head in find_heads()), encoding="utf-8")
