"""API keys of accounts; see docs/api_keys.md."""
