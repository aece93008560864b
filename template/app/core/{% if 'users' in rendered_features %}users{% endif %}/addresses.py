"""Addresses of accounts, which are unique without regard to case."""

from typing import Annotated

from pydantic import AfterValidator, Field

from app.core.mail import MailAddress


def normalize_email(address: str) -> str:
    """Return the form of an address that is stored and compared."""
    # MailAddress is ASCII, so that no other characters become equal.
    return address.lower()


Email = Annotated[
    MailAddress,
    AfterValidator(normalize_email),
    Field(max_length=254, examples=["ada@example.com"]),
]
"""The address of an account in requests; letters become lower-case."""
