"""Passkeys: adding them, and what a browser or an authenticator may do wrong."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from sqlalchemy import select
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from app.core.database import SessionFactory
from app.core.users.models import UserPasskey
from tests.core.users.conftest import ADA
from tests.core.users.factors.authenticator import DOMAIN, ORIGIN, Authenticator
from tests.core.users.factors.conftest import FACTORS, CreatePerson, Person, SetVariables

Misbehave = Callable[[Authenticator], None]


def set_attribute(name: str, value: object) -> Misbehave:
    return lambda passkey: setattr(passkey, name, value)


WRONG = {
    "origin": set_attribute("origin", "https://evil.example"),
    "subdomain": set_attribute("origin", f"https://evil.{DOMAIN}"),
    "plain HTTP": set_attribute("origin", f"http://{DOMAIN}"),
    "port": set_attribute("origin", f"{ORIGIN}:8443"),
    "domain": set_attribute("domain", "evil.example"),
    "parent domain": set_attribute("domain", "example.com"),
    "embedded page": set_attribute("cross_origin", True),
    "nobody there": set_attribute("detects_user", False),
}


async def finish(person: Person, credential: dict[str, Any], name: str = "Phone") -> int:
    body = {"credential": credential, "name": name}
    return (await person.post(f"{FACTORS}/passkeys", body)).status_code


async def options_of(person: Person) -> dict[str, Any]:
    options: dict[str, Any] = (await person.post(f"{FACTORS}/passkeys/options")).json()
    return options


async def second_step(person: Person, **options: Any) -> int:
    """Return the status of a login with the password and the passkey."""
    challenge = await person.start_login()
    credential = person.passkey.get(await person.ask_for_passkey(challenge), **options)
    response = await person.finish_login(challenge, method="passkey", credential=credential)
    return response.status_code


async def test_options_identify_the_account_only_by_its_id(person: Person) -> None:
    response = await person.post(f"{FACTORS}/passkeys/options")
    assert response.headers["Cache-Control"] == "no-store"
    options = response.json()
    assert options["rp"]["id"] == DOMAIN
    assert base64url_to_bytes(options["user"]["id"]) == person.account.id.bytes
    assert options["user"]["name"] == ADA
    assert options["attestation"] == "none"
    assert len(base64url_to_bytes(options["challenge"])) == 32


async def test_a_passkey_is_a_second_factor(person: Person) -> None:
    response = await person.add_passkey()
    assert len(response.json()["recovery_codes"]) == 10
    assert (await person.enter_password()).json()["second_factors"] == ["passkey", "recovery_code"]
    assert await second_step(person) == 200


async def test_after_a_password_possession_of_the_passkey_is_enough(passkey_user: Person) -> None:
    passkey_user.passkey.verifies_user = False
    assert await second_step(passkey_user) == 200


async def test_security_keys_without_a_user_handle_are_accepted(passkey_user: Person) -> None:
    assert await second_step(passkey_user, user_handle=False) == 200


async def test_the_user_handle_of_another_account_is_rejected(passkey_user: Person) -> None:
    passkey_user.passkey.user_handle = bytes(16)
    assert await second_step(passkey_user) == 401


@pytest.mark.parametrize("reason", WRONG)
async def test_what_must_not_add_a_passkey(person: Person, reason: str) -> None:
    options = await options_of(person)
    WRONG[reason](person.passkey)
    assert await finish(person, person.passkey.create(options)) == 422
    assert (await person.get(FACTORS)).json()["passkeys"] == []


@pytest.mark.parametrize("reason", WRONG)
async def test_what_must_not_log_in(passkey_user: Person, reason: str) -> None:
    WRONG[reason](passkey_user.passkey)
    assert await second_step(passkey_user) == 401


async def test_a_challenge_adds_one_passkey(person: Person) -> None:
    options = await options_of(person)
    body = {"credential": person.passkey.create(options), "name": "Phone"}
    person.use_token(await person.post(f"{FACTORS}/passkeys", body))
    assert await finish(person, Authenticator().create(options)) == 422


async def test_the_challenge_of_another_session_adds_no_passkey(person: Person) -> None:
    options = await options_of(person)
    await person.log_in()
    assert await finish(person, person.passkey.create(options)) == 422


async def test_new_options_invalidate_those_before(person: Person) -> None:
    old, new = await options_of(person), await options_of(person)
    assert await finish(person, person.passkey.create(old)) == 422
    assert await finish(person, person.passkey.create(new)) == 201


async def test_the_challenge_of_another_account_adds_no_passkey(
    person: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    options = await options_of(other)
    assert await finish(person, person.passkey.create(options)) == 422
    assert await finish(other, other.passkey.create(options)) == 201


async def test_an_expired_challenge_adds_no_passkey(person: Person) -> None:
    options = await options_of(person)
    person.clock.forward(301)
    assert await finish(person, person.passkey.create(options)) == 422


async def test_the_challenge_of_a_login_adds_no_passkey(passkey_user: Person) -> None:
    login = await passkey_user.ask_for_passkey(await passkey_user.start_login())
    options = await options_of(passkey_user)
    credential = Authenticator().create({**options, "challenge": login["challenge"]})
    assert await finish(passkey_user, credential) == 422


async def test_a_signature_for_another_ceremony_adds_no_passkey(person: Person) -> None:
    options = await options_of(person)
    credential = person.passkey.create(options)
    client_data = person.passkey.client_data("webauthn.get", options["challenge"])
    credential["response"]["clientDataJSON"] = bytes_to_base64url(client_data)
    assert await finish(person, credential) == 422


MALFORMED: list[Any] = [
    b"",
    b"\xff",
    cbor2.dumps([]),
    cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b""}),
    cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": bytes(37)}),
    cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": bytes([0] * 32 + [0x45] + [0] * 40)}),
    cbor2.dumps({"fmt": {}, "attStmt": [], "authData": {}}),
    b"\x9f" * 5000,
]


@pytest.mark.parametrize("attestation", MALFORMED)
async def test_malformed_attestations_are_rejected(person: Person, attestation: bytes) -> None:
    credential = person.passkey.create(await options_of(person))
    credential["response"]["attestationObject"] = bytes_to_base64url(attestation) or "AA"
    assert await finish(person, credential) == 422


@pytest.mark.parametrize(
    "key",
    [
        {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)},
        {1: 2, 3: -7, -1: 1, -2: b"", -3: b""},
        {1: 2, 3: -7},
        {1: 3, 3: -257, -1: b"\x01", -2: b"\x01"},
        {1: 1, 3: -8, -1: 6, -2: b"\x01"},
        {3: -65535, 1: 3, -1: bytes(256), -2: b"\x01\x00\x01"},
        {},
    ],
)
async def test_keys_that_are_none_never_log_in(
    person: Person, key: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authenticator, "public_key", lambda _: cbor2.dumps(key))
    status = await finish(person, person.passkey.create(await options_of(person)))
    assert status in {201, 422}
    if status == 422:
        return
    person.headers = {}
    assert await second_step(person) == 401


@pytest.mark.parametrize("part", ["authenticatorData", "signature", "clientDataJSON"])
async def test_changed_or_malformed_assertions_are_rejected(
    passkey_user: Person, part: str
) -> None:
    challenge = await passkey_user.start_login()
    options = await passkey_user.ask_for_passkey(challenge)
    credential = passkey_user.passkey.get(options)
    changed = bytearray(base64url_to_bytes(credential["response"][part]))
    changed[-1] ^= 1
    for value in (bytes(changed), b"\x00"):
        credential["response"][part] = bytes_to_base64url(value)
        response = await passkey_user.finish_login(
            challenge, method="passkey", credential=credential
        )
        assert response.status_code == 401


async def test_a_signature_by_another_key_is_rejected(passkey_user: Person) -> None:
    passkey_user.passkey.key = Authenticator().key
    assert await second_step(passkey_user) == 401


async def test_the_passkey_of_another_account_is_rejected(
    passkey_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    await other.add_passkey()
    challenge = await passkey_user.start_login()
    options = await passkey_user.ask_for_passkey(challenge)
    for user_handle in (True, False):
        credential = other.passkey.get(options, user_handle=user_handle)
        response = await passkey_user.finish_login(
            challenge, method="passkey", credential=credential
        )
        assert response.status_code == 401


async def test_the_challenge_of_another_account_does_not_log_in(
    passkey_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    await other.add_passkey()
    challenge = await passkey_user.start_login()
    options = await other.ask_for_passkey(await other.start_login())
    credential = passkey_user.passkey.get(options)
    response = await passkey_user.finish_login(challenge, method="passkey", credential=credential)
    assert response.status_code == 401


async def test_an_assertion_is_not_replayed(passkey_user: Person) -> None:
    challenge = await passkey_user.start_login()
    credential = passkey_user.passkey.get(await passkey_user.ask_for_passkey(challenge))
    answer = {"method": "passkey", "credential": credential}
    assert (await passkey_user.finish_login(challenge, **answer)).status_code == 200
    assert (await passkey_user.finish_login(challenge, **answer)).status_code == 422
    challenge = await passkey_user.start_login()
    assert (await passkey_user.finish_login(challenge, **answer)).status_code == 401


async def test_a_counter_must_increase(person: Person, session_factory: SessionFactory) -> None:
    person.passkey.sign_count = 5
    await person.add_passkey()
    assert await second_step(person) == 200
    # A copy that was made after it was added.
    person.passkey.sign_count = 5
    assert await second_step(person) == 401
    person.passkey.sign_count = 0
    assert await second_step(person) == 401
    person.passkey.sign_count = 2**32 - 2
    assert await second_step(person) == 200
    async with session_factory() as session:
        assert await session.scalar(select(UserPasskey.sign_count)) == 2**32 - 1


async def test_a_counter_may_always_be_zero(passkey_user: Person) -> None:
    assert [await second_step(passkey_user) for _ in range(2)] == [200, 200]


async def test_one_passkey_belongs_to_one_account(
    passkey_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    other.passkey = passkey_user.passkey
    assert await finish(other, other.passkey.create(await options_of(other))) == 409


async def test_browsers_do_not_add_the_same_passkey_twice(passkey_user: Person) -> None:
    [excluded] = (await options_of(passkey_user))["excludeCredentials"]
    assert excluded["id"] == bytes_to_base64url(passkey_user.passkey.credential_id)


async def test_an_account_can_have_twenty_passkeys(person: Person) -> None:
    for number in range(20):
        person.passkey = Authenticator()
        await person.add_passkey(f"Key {number}")
    assert await finish(person, Authenticator().create(await options_of(person))) == 409


async def test_passkeys_are_listed_renamed_and_removed(passkey_user: Person) -> None:
    path = f"{FACTORS}/passkeys/{passkey_user.passkey_id}"
    response = await passkey_user.client.patch(
        path, json={"name": "Laptop"}, headers=passkey_user.headers
    )
    assert response.status_code == 204
    [listed] = (await passkey_user.get(FACTORS)).json()["passkeys"]
    assert (listed["id"], listed["name"]) == (passkey_user.passkey_id, "Laptop")
    assert {*listed} == {"id", "name", "created_at", "last_used_at"}
    assert (await passkey_user.delete(path)).status_code == 204
    assert (await passkey_user.enter_password()).json()["second_factors"] == []


async def test_passkeys_of_others_are_not_found(
    passkey_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    path = f"{FACTORS}/passkeys/{passkey_user.passkey_id}"
    assert (await other.delete(path)).status_code == 404
    renamed = await other.client.patch(path, json={"name": "Mine"}, headers=other.headers)
    assert renamed.status_code == 404
    assert (await other.get(FACTORS)).json()["passkeys"] == []


async def test_after_a_change_of_the_domain_other_factors_replace_passkeys(
    passkey_user: Person, set_factors: SetVariables
) -> None:
    old = passkey_user.passkey_id
    set_factors(passkey_rp_id="example.com")
    # The password alone must not be enough.
    login = (await passkey_user.enter_password()).json()
    assert login["second_factors"] == ["passkey", "recovery_code"]
    assert await second_step(passkey_user) == 401
    await passkey_user.log_in("recovery_code")
    passkey_user.passkey = Authenticator(domain="example.com")
    await passkey_user.add_passkey()
    listed = (await passkey_user.get(FACTORS)).json()["passkeys"]
    assert [passkey["id"] for passkey in listed] == [old, passkey_user.passkey_id]
    assert (await passkey_user.delete(f"{FACTORS}/passkeys/{old}")).status_code == 204
    assert await second_step(passkey_user) == 200


async def test_domain_and_origins_can_be_set(person: Person, set_factors: SetVariables) -> None:
    app = f"android:apk-key-hash:{'A' * 43}"
    set_factors(passkey_rp_id="example.com", passkey_origins=f"https://www.example.com,{app}")
    person.passkey = Authenticator(origin=app, domain="example.com")
    await person.add_passkey()
    person.passkey.origin = ORIGIN
    assert await second_step(person) == 401
