"""How many attempts are free, how long the next ones wait, and what they are counted by."""

import hashlib
import math
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

from app.core.users.settings import UsersSettings


@dataclass(frozen=True)
class Limit:
    """Attempts that are free; the wait after each further one is twice as long as the last."""

    free: int
    first_wait: float
    max_wait: float
    # Seconds in which one attempt is forgotten.
    recovery: float

    def wait(self, attempts: float) -> timedelta:
        """Return the wait after this many attempts."""
        excess = math.ceil(attempts) - self.free
        if excess < 0:
            return timedelta()
        # 2.0 ** 1024 would overflow.
        return timedelta(seconds=min(self.max_wait, self.first_wait * 2.0 ** min(excess, 60)))

    def remaining(self, attempts: float, elapsed: timedelta) -> float:
        """Return the attempts that are still counted after some time."""
        return max(0, attempts - max(0, elapsed.total_seconds()) / self.recovery)


def login_limits(
    settings: UsersSettings, account: str, address: str, *, is_trusted: bool = False
) -> dict[str, Limit]:
    """Return the limits of logins with an account from an address, in this order.

    Logins from a trusted address have a count of their own, so that nobody else can delay them.
    """
    by_account, by_address = settings.login_attempts, settings.login_attempts_by_address
    waits = settings.login_wait, settings.login_max_wait
    own = trusted_login(account, address) if is_trusted else f"login as {account}"
    return {
        own: Limit(by_account, *waits, recovery=waits[1]),
        # Many people may share an address, so that it recovers faster.
        f"login from {address}": Limit(by_address, *waits, recovery=waits[1] / by_address),
    }


def trusted_login(account: str, address: str) -> str:
    """Return the key of the count that logins from a trusted address have."""
    return f"login as {account} from {address}"


def mail_limits(
    settings: UsersSettings, purpose: str, email: str, address: str
) -> dict[str, Limit]:
    """Return the limits of mails to an address that were requested from a client address.

    By purpose: otherwise, sign-ups by strangers would use up the resets of the owner, who gets a
    valid link only from those.
    """
    by_email, by_address = settings.mails, settings.mails_by_address
    waits = settings.mail_wait, settings.mail_max_wait
    return {
        f"{purpose} mail to {email}": Limit(by_email, *waits, recovery=waits[1]),
        f"mail from {address}": Limit(by_address, *waits, recovery=waits[1] / by_address),
    }


def key_hash(key: str) -> str:
    """Return what is stored of a key: no addresses."""
    return hashlib.sha256(key.encode()).hexdigest()


def provider_login_limits(settings: UsersSettings, address: str) -> dict[str, Limit]:
    """Return the limit of logins with providers that are started from an address."""
    by_address = settings.login_attempts_by_address
    waits = settings.login_wait, settings.login_max_wait
    recovery = settings.login_max_wait / by_address
    return {f"provider login from {address}": Limit(by_address, *waits, recovery=recovery)}


def throttled_address(address: str | None) -> str:
    """Return what one client has of an address: of IPv6, a network of 64 bits."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        # Such as that of a Unix socket.
        return address or "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))


def factor_limits(settings: UsersSettings, user_id: UUID) -> dict[str, Limit]:
    """Return the limit of guesses of codes after the right password of an account.

    Not that of logins: strangers who guess passwords must not delay the owner's second step.
    """
    waits = settings.login_wait, settings.login_max_wait
    limit = Limit(settings.login_attempts, *waits, recovery=waits[1])
    return {f"second factor of {user_id}": limit}


# Pages ask for a challenge in advance, to offer passkeys while an address is typed. Afterwards, as
# many are allowed as are forgotten: one every 3 seconds.
PASSKEY_CHALLENGES = Limit(free=200, first_wait=3, max_wait=3, recovery=3)
