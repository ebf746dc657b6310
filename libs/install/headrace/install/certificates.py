"""The installation's certificate authority and the certificates of its servers (X.509, ECDSA P-256)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field

AUTHORITY_FOR: Final = timedelta(days=3650)
CERTIFICATE_FOR: Final = timedelta(days=825)
"""The most that common clients take from an authority that an operator installed."""
BEGINS_BEFORE: Final = timedelta(hours=1)
"""Certificates hold from so long before they were made, for machines whose clock is behind."""


class KeyPair(BaseModel):
    """Certificate and private key, in PEM."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    certificate: str
    key: str = Field(repr=False)

    @property
    def begins(self) -> datetime:
        """From when on it is valid."""
        return self._parsed.not_valid_before_utc

    @property
    def ends(self) -> datetime:
        """Until when it is valid."""
        return self._parsed.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as `openssl x509 -fingerprint` writes it."""
        return self._parsed.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def hosts(self) -> frozenset[str]:
        """Host names and addresses that it is for."""
        found = self._parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return frozenset(
            [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
        )

    @property
    def _parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())


def new_authority(name: str, now: datetime) -> KeyPair:
    """Generate an authority that signs certificates of servers only, and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(f"Headrace CA of {name}"[:64])
    builder = (
        _begun(subject, subject, key.public_key(), now, AUTHORITY_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return KeyPair(certificate=_pem(builder.sign(key, hashes.SHA256())), key=_key_pem(key))


def new_certificate(authority: KeyPair, hosts: Sequence[str], now: datetime, *, client: bool = False) -> KeyPair:
    """Generate a key and its certificate for a server with these host names and addresses.

    `client`: it proves to others of its kind that it is one, too.
    """
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    issuer_key = serialization.load_pem_private_key(authority.key.encode(), password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - new_authority() makes no other
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(CERTIFICATE_FOR, issuer.not_valid_after_utc - now)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])]
    builder = (
        _begun(_named(hosts[0][:64]), issuer.subject, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(host) for host in dict.fromkeys(hosts)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    return KeyPair(certificate=_pem(builder.sign(issuer_key, hashes.SHA256())), key=_key_pem(key))


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, valid_for: timedelta
) -> x509.CertificateBuilder:
    moment = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - BEGINS_BEFORE)
        .not_valid_after(moment + valid_for)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
