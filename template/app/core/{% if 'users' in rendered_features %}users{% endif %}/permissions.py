"""Scopes of those who administrate accounts."""

READ = "user:read"
WRITE = "user:write"
