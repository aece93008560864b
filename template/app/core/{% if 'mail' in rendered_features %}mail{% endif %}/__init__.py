"""Mails, sent by jobs; see docs/mail.md."""
