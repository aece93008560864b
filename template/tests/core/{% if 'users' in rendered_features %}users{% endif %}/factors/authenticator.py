"""An authenticator in software, and the part of a browser that talks to it.

https://www.w3.org/TR/webauthn-3/#sctn-authenticator-data
"""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

ORIGIN = "https://app.example.com"
DOMAIN = "app.example.com"

PRESENT, VERIFIED, HAS_KEY = 0x01, 0x04, 0x40


@dataclass
class Authenticator:
    """Has one passkey; its attributes can be changed to misbehave."""

    origin: str = ORIGIN
    domain: str = DOMAIN
    cross_origin: bool = False
    verifies_user: bool = True
    detects_user: bool = True
    # Those of most passkeys are always 0.
    sign_count: int = 0
    user_handle: bytes = b""
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return what `navigator.credentials.create()` would, without an attestation."""
        self.user_handle = base64url_to_bytes(options["user"]["id"])
        length = len(self.credential_id).to_bytes(2, "big")
        key = bytes(16) + length + self.credential_id + self.public_key()
        attestation = {"fmt": "none", "attStmt": {}, "authData": self.data(HAS_KEY) + key}
        return self.credential(
            clientDataJSON=self.client_data("webauthn.create", options["challenge"]),
            attestationObject=cbor2.dumps(attestation),
        )

    def get(self, options: dict[str, Any], *, user_handle: bool = True) -> dict[str, Any]:
        """Return what `navigator.credentials.get()` would."""
        client_data = self.client_data("webauthn.get", options["challenge"])
        data = self.data()
        signed = data + hashlib.sha256(client_data).digest()
        return self.credential(
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=self.key.sign(signed, ec.ECDSA(hashes.SHA256())),
            **({"userHandle": self.user_handle} if user_handle else {}),
        )

    def credential(self, **response: bytes) -> dict[str, Any]:
        encoded = {name: bytes_to_base64url(value) for name, value in response.items()}
        credential_id = bytes_to_base64url(self.credential_id)
        return {
            "id": credential_id,
            "rawId": credential_id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": encoded,
        }

    def client_data(self, ceremony: str, challenge: str) -> bytes:
        data = {
            "type": ceremony,
            "challenge": challenge,
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        }
        return json.dumps(data).encode()

    def data(self, flags: int = 0) -> bytes:
        flags |= self.verifies_user * VERIFIED | self.detects_user * PRESENT
        if self.sign_count:
            self.sign_count += 1
        count = self.sign_count.to_bytes(4, "big")
        return hashlib.sha256(self.domain.encode()).digest() + bytes([flags]) + count

    def public_key(self) -> bytes:
        """Return the form of https://www.rfc-editor.org/rfc/rfc9053#section-7.1.1 for P-256."""
        numbers = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
