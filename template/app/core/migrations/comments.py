"""Comments that autogenerate writes into revisions."""

from collections.abc import Sequence
from functools import partial
from textwrap import wrap

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import OpContainer

# Of a comment, which is indented by four spaces; no formatter changes comments.
LINE_LENGTH = 94

_fill = partial(wrap, width=LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


class Comment(OpContainer):
    """A sentence and lines of code: no operation, and no difference for `alembic check`."""

    def __init__(self, sentence: str = "", code: Sequence[str] = ()) -> None:
        super().__init__()
        if code and len(line := " ".join(code)) <= LINE_LENGTH:
            code = [line]
        self.lines = _fill(sentence)
        for index, line in enumerate(code):
            indent = "    " if index else ""
            self.lines += _fill(line, initial_indent=indent, subsequent_indent="    ")

    def __str__(self) -> str:
        return " ".join(line.strip() for line in self.lines)

    def reverse(self) -> "Comment":
        """Return an empty comment: that of an upgrade does not fit its downgrade."""
        return Comment()


@render.renderers.dispatch_for(Comment)
def render_comment(_context: AutogenContext, comment: Comment) -> list[str]:
    """Return the lines of a comment as Python."""
    return [f"# {line}" for line in comment.lines]
