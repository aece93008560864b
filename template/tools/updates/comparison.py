"""Compare the files of a project before and after an update with those of the old version.

What the old version does not have is the user's own, and what the project lacks of it was removed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

Files = Mapping[str, bytes]


def find_lost(rendered: Files, before: Files, after: Files) -> Iterator[str]:
    """Yield one line for each line or file of the user's that an update lost.

    `rendered` has the files of the version before the update, `before` and `after` those of the
    project that the update changed, by their paths. A line that is in another file now is not lost.
    """
    gained: Counter[bytes] = Counter()
    for path, text in after.items():
        gained += Counter(lines_of(text)) - Counter(lines_of(before.get(path, b"")))
        if path.endswith(".rej"):
            gained += Counter(line[1:] for line in lines_of(text) if line.startswith(b"+"))
    for path, text in sorted(before.items()):
        if text in (after.get(path), rendered.get(path)):
            continue
        if path not in after and path not in rendered and text not in after.values():
            yield f"{path}: deleted"
        own = Counter(lines_of(text)) - Counter(lines_of(rendered.get(path, b"")))
        for line in own - Counter(lines_of(after.get(path, b""))) - gained:
            yield f"{path}: {describe(line)}"


def find_restored(rendered: Files, before: Files, after: Files) -> Iterator[str]:
    """Yield one line for each line or file that the user had removed and an update restored.

    Files with conflicts are left out. So are those with removed lines that did not come back: the
    others may be in the new version for another reason.
    """
    for path in sorted(after.keys() & rendered.keys()):
        if path not in before:
            yield f"{path}: restored"
            continue
        old, new = Counter(lines_of(before[path])), Counter(lines_of(after[path]))
        removed = Counter(lines_of(rendered[path])) - old
        if removed and not removed - (new - old) and b"\n<<<<<<< " not in b"\n" + after[path]:
            for line in removed:
                yield f"{path}: {describe(line)} (restored)"


def lines_of(text: bytes) -> list[bytes]:
    """Return the lines that are not blank, without space at their ends; binary content is one."""
    if b"\0" in text:
        return [text]
    return [line.rstrip() for line in text.split(b"\n") if line.strip()]


def describe(line: bytes) -> str:
    return "binary content" if b"\0" in line else line.decode("utf-8", "replace")
