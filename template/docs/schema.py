"""Draws docs/schema.md: the tables that the models describe, and the revisions that lead there."""

from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from paracelsus.transformers.mermaid import Mermaid

from app.core.migrations import import_models
from app.core.models import Base
from app.core.settings import PROJECT_ROOT

PICTURE = Path(__file__).with_name("schema.md")

PAGE = """<!-- Drawn by `uv run nox -s schema`; what is written here is lost. -->

# Schema

## Tables

```mermaid
{tables}
```

## Revisions

```mermaid
{revisions}
```
"""


def draw_tables() -> str:
    import_models()
    return str(Mermaid(Base.metadata, "preserve-order")).strip()


def draw_revisions() -> str:
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    lines = ["flowchart TD", "  base([base])"]
    for script in reversed(list(scripts.walk_revisions())):
        lines.append(f'  {_node(script.revision)}["{_label(script)}"]')
        for previous in script._all_down_revisions or ["base"]:
            lines.append(f"  {_node(previous)} --> {_node(script.revision)}")
    return "\n".join(lines)


def _node(revision: str) -> str:
    return revision if revision == "base" else f"revision_{revision}"


def _label(script: Script) -> str:
    # Mermaid reads characters by their number, and quotes would end the label.
    words = "".join(c if c.isalnum() or c in " ,._-" else f"#{ord(c)};" for c in script.doc)
    return f"{script.revision}<br>{words}"


if __name__ == "__main__":
    PICTURE.write_text(PAGE.format(tables=draw_tables(), revisions=draw_revisions()), "utf-8")
