"""The tables of accounts, their sessions, one-time tokens and second factors, and of attempts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
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
    # Wrong codes after a right password, since the last login with a right one.
    code_failures: Mapped[int] = mapped_column(default=0)
    # Increases when the links of the account end, also for those whose mails are still to be sent.
    link_generation: Mapped[int] = mapped_column(default=0)


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
    # How, separated by spaces, such as "password totp".
    methods: Mapped[str] = mapped_column(String(100), default="")
    # Written at most once per tenth of the idle time.
    last_seen_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
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
    # Decreases with time, so it is not an integer.
    attempts: Mapped[float]
    retry_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(index=True)


class UserTOTP(Base):
    """An authenticator app of an account: the one that is a factor, or one to be confirmed."""

    __tablename__ = "user_totp"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    # By app.core.users.factors.encryption: codes cannot be computed from the database alone.
    encrypted_secret: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    # By a code of it, which replaces an earlier app.
    confirmed_at: Mapped[datetime | None] = mapped_column(index=True)
    # The time step of the last code that was accepted: only later ones are.
    last_step: Mapped[int | None]


class UserPasskey(Entity):
    """A passkey or a security key of an account."""

    __tablename__ = "user_passkey"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
    # Unique, instead of the id, whose 1023 bytes no index of MySQL can hold.
    credential_hash: Mapped[str] = mapped_column(HASH, unique=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary)
    # https://www.rfc-editor.org/rfc/rfc9052#section-7
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    # Those of most passkeys never count.
    sign_count: Mapped[int] = mapped_column(BigInteger)
    # How browsers reach it, such as "usb" and "internal".
    transports: Mapped[list[str]] = mapped_column(JSON)
    last_used_at: Mapped[datetime | None]
    # The domain on whose pages it has logged in alone, which makes it a way in.
    login_domain: Mapped[str | None] = mapped_column(String(253))


class UserRecoveryCode(Base):
    """A code that replaces a lost factor once; using it deletes the row."""

    __tablename__ = "user_recovery_code"

    code_hash: Mapped[str] = mapped_column(HASH, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class UserChallenge(Base):
    """A challenge: a half-finished login, or a ceremony of a passkey; success deletes the row."""

    __tablename__ = "user_challenge"

    challenge_hash: Mapped[str] = mapped_column(HASH, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(40))
    # NULL for a login by a passkey, which identifies the account.
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    # The session that adds a passkey.
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user_session.id", ondelete="CASCADE"), index=True
    )
    # What a half-finished login has already proved, such as "password".
    methods: Mapped[str] = mapped_column(String(100), default="")
    # When, if that was not just now.
    authenticated_at: Mapped[datetime | None]
    # Wrong answers to a half-finished login.
    attempts: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[datetime] = mapped_column(index=True)
