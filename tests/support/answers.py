"""Combinations of answers."""

from typing import Any

# Overrides on the defaults; each runs on each database.
ANSWERS: dict[str, dict[str, Any]] = {
    "none": {"modules": []},
    "one": {"modules": ["item"]},
    "several": {
        "modules": ["item", "category", "order_line", "box"],
        "shared_tables": ["auth_*"],
        "features": ["jobs", "mail"],
    },
    "reserved": {
        "modules": ["user", "order", "group", "pg_class", "ix_item", "name", "date"],
        "features": ["jobs"],
    },
    "awkward": {
        "modules": ["a", "q" * 20, "w" * 9 + "_" + "x" * 10, "item10", "item2", "item_2b", "test"]
    },
    "scan": {"model_discovery": "scan", "shared_tables": ["auth_*", "django_session"]},
    "scan-none": {"modules": [], "model_discovery": "scan", "features": ["jobs"]},
    "scan-mail": {"model_discovery": "scan", "features": ["jobs", "mail"]},
    "oidc": {"auth": "oidc", "modules": ["item", "order_line", "q" * 20]},
    "oidc-empty": {"auth": "oidc", "modules": [], "features": ["jobs"]},
    "users": {"auth": "users", "features": ["jobs", "mail"]},
    "users-scan": {
        "auth": "users",
        "modules": [],
        "features": ["jobs", "mail"],
        "model_discovery": "scan",
    },
}
