"""Keeps alembic/versions/HEAD, which makes git see that two branches follow one revision."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from app.core.settings import PROJECT_ROOT

HEAD_FILE = PROJECT_ROOT / "alembic" / "versions" / "HEAD"


def find_heads() -> list[str]:
    """Return the revisions that no other one follows: one, unless branches were not merged."""
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    return sorted(scripts.get_heads())


if __name__ == "__main__":
    HEAD_FILE.write_text("".join(f"{head}\n" for head in find_heads()), encoding="utf-8")
