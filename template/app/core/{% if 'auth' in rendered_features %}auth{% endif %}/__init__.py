"""Who calls the API, and what they may do; see docs/auth.md."""
