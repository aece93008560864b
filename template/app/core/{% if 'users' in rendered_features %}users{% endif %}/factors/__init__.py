"""Second factors: authenticator apps, passkeys and recovery codes; see docs/second_factors.md."""
