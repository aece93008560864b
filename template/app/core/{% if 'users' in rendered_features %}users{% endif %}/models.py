"""The tables of accounts, their sessions and one-time tokens, and of throttled attempts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from app.core.models import Base, Entity, Versioned, utc_now

# Compared by code point: MySQL's default collations take some characters for equal.
EMAIL = String(254).with_variant(String(254, collation="utf8mb4_bin"), "mysql", "mariadb")
EXACT = String(255).with_variant(String(255, collation="utf8mb4_bin"), "mysql", "mariadb")
# SHA-256 in hexadecimal.
HASH = String(64)


class UserAccount(Versioned, Entity):
    """An account; one that was invited has no verified address and no password yet."""

    __tablename__ = "user_account"

    # As normalize_email returns it.
    email: Mapped[str] = mapped_column(EMAIL, unique=True)
    email_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str | None]
    # Keys of ROLES in app/roles.py.
    roles: Mapped[list[str]] = mapped_column(JSON, default=list)
    deactivated_at: Mapped[datetime | None]


class UserSession(Base):
    """A login; deleting the row ends it."""

    __tablename__ = "user_session"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[str] = mapped_column(HASH, unique=True)
    user_agent: Mapped[str | None] = mapped_column(String(200))
    address: Mapped[str | None] = mapped_column(String(45))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    # When the caller last proved who they are, by a password for example.
    authenticated_at: Mapped[datetime] = mapped_column(default=utc_now)
    # Written at most once per tenth of the idle time.
    last_seen_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UserToken(Base):
    """A token that works once, such as that of a link in a mail; using it deletes the row."""

    __tablename__ = "user_token"

    token_hash: Mapped[str] = mapped_column(HASH, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(40))
    # NULL for a sign-up: the account does not exist yet.
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    # The address that the token was sent to.
    email: Mapped[str] = mapped_column(EMAIL, index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UserApiKey(Base):
    """A key with which a program of a user calls the API; deleting the row revokes it."""

    __tablename__ = "user_api_key"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
    # The beginning of the key, by which its user recognizes it.
    prefix: Mapped[str] = mapped_column(String(40))
    key_hash: Mapped[str] = mapped_column(HASH, unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    # Written every few minutes at most.
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UserIdentity(Base):
    """A user of a provider, who can log in to the account."""

    __tablename__ = "user_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    issuer: Mapped[str] = mapped_column(EXACT)
    subject: Mapped[str] = mapped_column(EXACT)
    # What the provider said when the identity was linked, for the user to recognize it.
    email: Mapped[str | None] = mapped_column(EMAIL)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_login_at: Mapped[datetime | None]


class UserProviderLogin(Base):
    """A login with a provider that a browser has started; finishing it deletes the row."""

    __tablename__ = "user_provider_login"

    state_hash: Mapped[str] = mapped_column(HASH, primary_key=True)
    cookie_hash: Mapped[str] = mapped_column(HASH)
    # A name of USERS_PROVIDERS.
    provider: Mapped[str] = mapped_column(String(20))
    # The session that links the identity to its account; NULL for a login.
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user_session.id", ondelete="CASCADE"), index=True
    )
    return_to: Mapped[str | None] = mapped_column(String(500))
    is_renewal: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UserThrottle(Base):
    """Recent attempts of one kind for an account or an address, and when the next is allowed."""

    __tablename__ = "user_throttle"

    key_hash: Mapped[str] = mapped_column(HASH, primary_key=True)
    # Decreases with time, so it is no integer.
    attempts: Mapped[float]
    retry_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(index=True)
