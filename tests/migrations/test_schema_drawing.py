"""`nox -s schema` draws tables and revisions."""

import re
from collections.abc import Callable

from tests.support.projects import Project
from tests.support.revisions import add_revision


def test_the_schema_is_drawn(project: Callable[..., Project], database: str) -> None:
    made = project(database, modules=["item", "tag"])
    with (made.path / "app/modules/tag/models.py").open("a", encoding="utf-8") as models:
        models.write(
            "    item_id: Mapped[UUID | None] = mapped_column(ForeignKey('item.id'))\n"
            "from uuid import UUID\nfrom sqlalchemy import ForeignKey\n"
        )
    code = (made.path / "app/modules/tag/models.py").read_text("utf-8")
    imports = "from uuid import UUID\nfrom sqlalchemy import ForeignKey\n"
    (made.path / "app/modules/tag/models.py").write_text(
        imports + code.replace(imports, ""), "utf-8"
    )
    add_revision(made, "links", upgrade="pass")
    made.run("nox", "-s", "schema")
    drawn = (made.path / "docs/schema.md").read_text("utf-8")
    assert re.search(r"item .*--.* tag", drawn)
    assert "revision_0001 --> revision_links" in drawn
