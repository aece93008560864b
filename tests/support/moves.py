"""Moved files of the template, as moves.jinja lists them, and the stubs at their old paths."""

from typing import Any

import jinja2

from tests.support.projects import ROOT

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ROOT),
    extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
    trim_blocks=True,
    lstrip_blocks=True,
)
_MODULE: Any = _ENVIRONMENT.get_template("moves.jinja").module
# By the old path: `moved_to`, `since`, `moved_in`, and `script` if the file is run as one.
MOVED: dict[str, dict[str, Any]] = _MODULE.moves


def stub(old: str) -> bytes:
    """Return what an update renders at the old path of a moved file."""
    text: str = _MODULE.stub(old)
    return text.encode()
