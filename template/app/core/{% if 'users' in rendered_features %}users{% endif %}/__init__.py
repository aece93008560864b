"""Accounts, sessions and passwords; see docs/users.md."""
