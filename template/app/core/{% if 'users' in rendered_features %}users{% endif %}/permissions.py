"""Scopes of those who administer accounts."""

READ = "user:read"
WRITE = "user:write"
