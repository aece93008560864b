"""Passwords: their rules, hashes, login, change and reset."""
