"""Logins with OpenID Connect providers; see docs/social_login.md."""
