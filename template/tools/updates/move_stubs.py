"""Stubs, which an update leaves at the old paths of files that moved, and what still uses them."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

FIRST_LINE = re.compile(r"(?:# )?Moved to \[?([^\s;\]]+)[;\]]")
CONFLICT = re.compile(
    rb"^<{7} (?:(?!^>{7} ).)*^={7}\n(.*?)^>{7} [^\n]*\n", re.MULTILINE | re.DOTALL
)


def moved_to(old: str, text: bytes) -> str | None:
    """Return the new path of a file, given its stub; None if the text is not exactly a stub."""
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n")
    if not (match := FIRST_LINE.match(lines)):
        return None
    return match[1] if lines in contents(old, match[1]) else None


def stub_in_conflict(old: str, text: bytes) -> str | None:
    """Return the new path of a file whose conflicts, if resolved by an update, give a stub."""
    resolved, count = CONFLICT.subn(rb"\1", text)
    return moved_to(old, resolved) if count else None


def contents(old: str, new: str) -> set[str]:
    """Return what a stub may contain: text, or a comment, imports, and the name of the script."""
    if old.endswith(".md"):
        link = f"[{new}]({'../' * old.count('/')}{new})"
        return {f"Moved to {link}; delete this file once nothing links to it.\n"}
    comment = f"# Moved to {new}; delete this file once nothing uses it.\n"
    imports = f"{comment}from {module_name(new)} import *  # noqa: F403\n"
    script = f"""{imports}
if __name__ == "__main__":  # python -m {module_name(old)}
    raise SystemExit("Moved: run `python -m {module_name(new)}`")
"""
    return {comment, imports, script}


def module_name(path: str) -> str:
    """Return the name of the module at a path: app.core for app/core/__init__.py."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def last_name(path: str) -> str:
    """Return the last part of the name of a module, or the name of a page: core for app/core.py."""
    return Path(path.removesuffix("/__init__.py")).stem


def find_uses(root: Path, names: Iterable[str], old: str) -> Iterator[str]:
    """Yield files, with a line number, that import the module at a path or contain the path."""
    is_module = old.endswith(".py") and not (root / old[:-3] / "__init__.py").exists()
    for name in names:
        file = root / name
        if name == old or file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        lines = {*lines_with(content, re.escape(old))}
        if is_module:
            lines |= {*lines_with(content, name_pattern(old))}
            if name.endswith(".py"):
                lines |= {*lines_that_import(name, content, old)}
        elif (file.parent, file.suffix) == ((root / old).parent, ".md"):
            lines |= {*lines_with(content, rf"\b{re.escape(Path(old).name)}")}
        if lines:
            yield f"{name}:{min(lines)}"


def name_pattern(old: str) -> str:
    """Return a pattern for the name of a module, also relative, as `import_module` takes it."""
    name = re.escape(last_name(old))
    return rf"\b{re.escape(module_name(old))}\b|['\"]\.+{name}['\"]"


def lines_with(content: bytes, pattern: str) -> Iterator[int]:
    """Yield the numbers of the lines that match a pattern."""
    found = re.compile(pattern.encode())
    if found.search(content):
        for number, line in enumerate(content.split(b"\n"), start=1):
            if found.search(line):
                yield number


def lines_that_import(name: str, content: bytes, old: str) -> Iterator[int]:
    """Yield the lines of `from … import …` for a module; any with its name if there are errors."""
    if last_name(old).encode() not in content:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError):
        yield from lines_with(content, rf"\b{re.escape(last_name(old))}\b")
        return
    package = name.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            imported = {base, *(f"{base}.{alias.name}" for alias in node.names)}
            if module_name(old) in imported:
                yield node.lineno
