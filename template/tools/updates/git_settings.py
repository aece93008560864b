"""The git configuration of updates, which overrides that of the user."""

import os

SETTINGS = {
    "apply.ignoreWhitespace": "no",
    "apply.whitespace": "nowarn",
    # Attributes such as -diff would hide edits, as would the files that a user ignores everywhere.
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.autocrlf": "false",
    # In bytes: larger files are compared as binary, because `git apply` rejects patches of 1 GiB.
    "core.bigFileThreshold": "1000000",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "true",
    "core.safecrlf": "false",
    "init.templateDir": "",
    "status.showUntrackedFiles": "normal",
}


def variables() -> dict[str, str]:
    """Return environment variables that set these; others, such as credentials, stay."""
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    chosen = {"GIT_ATTR_NOSYSTEM": "1", "GIT_CONFIG_COUNT": str(first + len(SETTINGS))}
    for number, (name, value) in enumerate(SETTINGS.items(), start=first):
        chosen |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return chosen
