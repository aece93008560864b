"""Code blocks of documentation."""

import re

from tests.support.projects import Project, run

BLOCK = re.compile(r"^```(diff|python|ini|jinja)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def follow_page(made: Project, name: str, section: str = "") -> list[str]:
    """Apply the diffs of a page in docs/, append its files; return the kinds of its blocks.

    Only those of one section, if its heading is given.
    """
    page = (made.path / f"docs/{name}.md").read_text("utf-8")
    if section:
        page = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = BLOCK.findall(page)
    for kind, text in blocks:
        if kind == "diff":
            patch = made.path.with_name("page.patch")
            patch.write_text(text, "utf-8")
            run(["git", "apply", "--unidiff-zero", str(patch)], made.path)
        else:
            # A comment names the file.
            first, _, content = text.partition("\n")
            file = made.path / first.strip("{#} ")
            file.parent.mkdir(exist_ok=True)
            # Settings are appended to the existing ones.
            with file.open("a", encoding="utf-8") as opened:
                opened.write(content)
    return [kind for kind, _ in blocks]
