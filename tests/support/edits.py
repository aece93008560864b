"""Edits of files as users make them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{old} in {file}"
    file.write_text(text.replace(old, new), "utf-8")


@dataclass(frozen=True)
class Edit:
    """A user's edit of a file: `old` replaced by `new`, or `new` appended."""

    file: str
    new: str
    old: str = ""

    def apply(self, project: Path) -> None:
        path = project / self.file
        text = path.read_text("utf-8")
        assert self.old in text, f"{self.file} has no {self.old!r}"
        edited = text.replace(self.old, self.new, 1) if self.old else text + self.new
        path.write_text(edited, "utf-8")

    def survives(self, project: Path) -> bool:
        return self.new in (project / self.file).read_text("utf-8")


@dataclass(frozen=True)
class Insertion:
    """Lines that a user adds below the first of `places` that the file has, or at its end."""

    file: str
    new: str
    places: Sequence[str] = ()

    def apply(self, project: Path) -> None:
        path = project / self.file
        text = path.read_text("utf-8")
        if self.places:
            place = next((place for place in self.places if place in text), None)
            assert place, f"{self.file} has none of {self.places}"
            path.write_text(text.replace(place, place + self.new, 1), "utf-8")
        else:
            path.write_text(text + self.new, "utf-8")

    def survives(self, project: Path) -> bool:
        return self.new in (project / self.file).read_text("utf-8")
