"""The ceremonies of WebAuthn: adding a passkey, and proving that a client has it.

https://www.w3.org/TR/webauthn-3/
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import webauthn
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    options_to_json_dict,
    parse_client_data_json,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.core.auth.audit import audit
from app.core.database import Session
from app.core.users.factors.challenges import add_challenge, delete_challenges, use_challenge
from app.core.users.factors.passkeys import (
    add_passkey,
    find_key,
    find_keys,
    hash_credential_id,
    store_sign_count,
)
from app.core.users.factors.settings import (
    get_factor_settings,
    passkey_domain,
    passkey_origins,
)
from app.core.users.models import UserAccount, UserPasskey

ADD = "add passkey"
# After a password, and instead of one.
SECOND_FACTOR = "passkey as second factor"
PASSKEY_LOGIN = "login by passkey"

CHALLENGE_BYTES = 32
Options = dict[str, Any]


class CeremonyError(Exception):
    """The answer of a browser to a challenge is invalid; the message says why."""


async def start_adding(
    session: Session, account: UserAccount, session_id: UUID, application: str
) -> Options:
    """Return the options of `navigator.credentials.create()` for a new passkey."""
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    keys = await find_keys(session, account.id)
    # A session has one at a time.
    await delete_challenges(session, account.id, session_id)
    options = webauthn.generate_registration_options(
        rp_id=passkey_domain(),
        rp_name=application,
        # Stored in the passkey, readable without the user: the id says nothing about them.
        user_id=account.id.bytes,
        user_name=account.email,
        challenge=challenge,
        timeout=_timeout(),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[_describe(key) for key in keys],
    )
    await add_challenge(
        session, bytes_to_base64url(challenge), ADD, user_id=account.id, session_id=session_id
    )
    return options_to_json_dict(options)


async def finish_adding(
    session: Session, user_id: UUID, session_id: UUID, credential: Options, name: str
) -> UserPasskey:
    """Store the passkey that a browser has created; raises CeremonyError and ConflictError."""
    challenge = _read_challenge(credential)
    if not await use_challenge(session, bytes_to_base64url(challenge), ADD, user_id, session_id):
        raise CeremonyError("the challenge is unknown, or has expired or been used")
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=passkey_domain(),
            expected_origin=passkey_origins(),
        )
    # The library documents its own exceptions, but malformed keys raise many others.
    except Exception as error:
        raise CeremonyError(str(error)) from error
    passkey = UserPasskey(
        user_id=user_id,
        name=name,
        credential_hash=hash_credential_id(verified.credential_id),
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        transports=_known_transports(credential["response"].get("transports")),
    )
    return await add_passkey(session, passkey)


async def start_asserting(session: Session, purpose: str, user_id: UUID | None = None) -> Options:
    """Return the options of `navigator.credentials.get()`.

    With an account, for one of its passkeys; without, for any that the browser knows, if its user
    is verified.
    """
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    keys = await find_keys(session, user_id) if user_id else []
    verification = "preferred" if user_id else "required"
    options = webauthn.generate_authentication_options(
        rp_id=passkey_domain(),
        challenge=challenge,
        timeout=_timeout(),
        allow_credentials=[_describe(key) for key in keys],
        user_verification=UserVerificationRequirement(verification),
    )
    await add_challenge(session, bytes_to_base64url(challenge), purpose, user_id=user_id)
    return options_to_json_dict(options)


async def finish_asserting(
    session: Session, purpose: str, credential: Options, user_id: UUID | None = None
) -> UUID:
    """Return the account whose passkey has signed a challenge, and use the challenge up.

    Raises CeremonyError for anything else, such as a passkey of another account than `user_id`,
    or, without one, a passkey that has not verified its user by a PIN or a fingerprint.
    """
    challenge = _read_challenge(credential)
    if not await use_challenge(session, bytes_to_base64url(challenge), purpose, user_id):
        raise CeremonyError("the challenge is unknown, or has expired or been used")
    key = await find_key(session, base64url_to_bytes(credential["rawId"]))
    if key is None or (user_id is not None and key.user_id != user_id):
        raise CeremonyError("the passkey is unknown")
    _check_user_handle(credential, key.user_id, is_required=user_id is None)
    try:
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=passkey_domain(),
            expected_origin=passkey_origins(),
            credential_public_key=key.public_key,
            # record_use compares it with the stored one.
            credential_current_sign_count=0,
            require_user_verification=user_id is None,
        )
    except Exception as error:
        raise CeremonyError(str(error)) from error
    login_domain = passkey_domain() if user_id is None else None
    if not await store_sign_count(session, key, verified.new_sign_count, login_domain):
        audit("passkey may have been copied", user_id=str(key.user_id), passkey_id=str(key.id))
        raise CeremonyError("the counter of the passkey did not increase: it may be a copy")
    return key.user_id


def _read_challenge(credential: Mapping[str, Any]) -> bytes:
    try:
        data = parse_client_data_json(base64url_to_bytes(credential["response"]["clientDataJSON"]))
    except Exception as error:
        raise CeremonyError("clientDataJSON is malformed") from error
    # In a frame of another site, its users may not see what they agree to.
    if data.cross_origin:
        raise CeremonyError("the page is embedded in one of another origin")
    return data.challenge


def _check_user_handle(credential: Mapping[str, Any], user_id: UUID, *, is_required: bool) -> None:
    handle = credential["response"].get("userHandle")
    if handle is None and not is_required:
        return
    if handle is None or base64url_to_bytes(handle) != user_id.bytes:
        raise CeremonyError("the user handle does not belong to the passkey")


def _describe(key: UserPasskey) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(transport) for transport in key.transports]
    return PublicKeyCredentialDescriptor(id=key.credential_id, transports=transports or None)


def _known_transports(transports: Sequence[str] | None) -> list[str]:
    known = {transport.value for transport in AuthenticatorTransport}
    return [transport for transport in transports or () if transport in known]


def _timeout() -> int:
    """Return the lifetime of challenges in milliseconds."""
    return get_factor_settings().challenge_lifetime * 1000
