"""A provider on HTTPS: its certificate is verified."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.core.openid.provider import ProviderError
from tests.core.openid.conftest import MakeProvider
from tools.identity_provider import HOST, IdentityProvider
from tools.identity_server import serve


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for the provider's address, in one file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, SHA256())
    )
    file = tmp_path / "provider.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return file


@pytest.fixture
def secure_provider(certificate: Path) -> Iterator[IdentityProvider]:
    with socket.create_server((HOST, 0)) as listener:
        provider = IdentityProvider(f"https://{HOST}:{listener.getsockname()[1]}")
        with serve(provider.app(), listener, ssl_certfile=certificate):
            yield provider


async def test_a_provider_with_a_trusted_certificate_is_used(
    make_provider: MakeProvider,
    secure_provider: IdentityProvider,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    metadata, _ = await make_provider(secure_provider.issuer).read()
    assert metadata["issuer"] == secure_provider.issuer


async def test_a_provider_with_another_certificate_is_rejected(
    make_provider: MakeProvider, secure_provider: IdentityProvider
) -> None:
    with pytest.raises(ProviderError, match="CERTIFICATE_VERIFY_FAILED"):
        await make_provider(secure_provider.issuer).read()
