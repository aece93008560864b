"""Which line of a revision a statement comes from, and its text in a table."""

import sys
from textwrap import shorten as shorten_text

MAX_LENGTH = 70


def find_line(file: str) -> int | None:
    """Return the line of a file that led to this call, or None if none did."""
    frame = sys._getframe().f_back
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return frame and frame.f_lineno


def shorten(statement: str) -> str:
    """Return the beginning of a statement on one line."""
    return shorten_text(statement, MAX_LENGTH, placeholder=" …")
