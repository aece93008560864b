"""Edits of files as users make them."""

from pathlib import Path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{old} in {file}"
    file.write_text(text.replace(old, new), "utf-8")
