"""TLS: the authorities of addresses, contexts of clients, certificates that are replaced."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from headrace.common.runtime.tls import ServerCertificate, TlsFileError, client_context, trusting
from headrace.install.certificates import KeyPair, new_authority, new_certificate

NOW = datetime.now(UTC)
CA = Path("/etc/a b/ca.crt")


@pytest.mark.parametrize(
    ("url", "with_authority"),
    [
        ("rediss://:p@h:6379/0", "rediss://:p@h:6379/0?ssl_ca_certs=/etc/a%20b/ca.crt"),
        ("rediss://h/0?protocol=2", "rediss://h/0?protocol=2&ssl_ca_certs=/etc/a%20b/ca.crt"),
        ("rediss://h/0?ssl_ca_certs=/x", "rediss://h/0?ssl_ca_certs=/x"),
        ("redis://h/0", "redis://h/0"),
        ("redis://[::1", "redis://[::1"),  # its client says what is wrong
        ("", ""),
        (
            "postgresql://u:p@h/d?sslmode=verify-full",
            "postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=/etc/a%20b/ca.crt",
        ),
        ("postgres://h1,h2/d?sslmode=verify-ca", "postgres://h1,h2/d?sslmode=verify-ca&sslrootcert=/etc/a%20b/ca.crt"),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert=/x", "postgresql://h/d?sslmode=verify-full&sslrootcert=/x"),
        ("postgresql://h/d", "postgresql://h/d"),
    ],
)
def test_the_authority_is_added_where_an_address_wants_tls_and_names_none(url: str, with_authority: str) -> None:
    assert trusting(url, CA) == with_authority
    assert trusting(url, None) == url


def written(folder: Path, pair: KeyPair) -> tuple[Path, Path]:
    files = folder / "server.crt", folder / "server.key"
    files[0].write_text(pair.certificate)
    files[1].write_text(pair.key)
    return files


@pytest.fixture
def authority() -> KeyPair:
    return new_authority("here", NOW)


def test_a_client_trusts_the_authority_only(tmp_path: Path, authority: KeyPair) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(authority.certificate)
    context = client_context(file)
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    file.write_text("nothing")
    with pytest.raises(TlsFileError, match=r"ca\.crt holds no certificate; allowed: certificates in PEM"):
        client_context(file)
    with pytest.raises(TlsFileError, match=r"missing cannot be read: No such file"):
        client_context(tmp_path / "missing")


def test_a_certificate_that_is_replaced_is_loaded_once_it_is_whole(tmp_path: Path, authority: KeyPair) -> None:
    first, second = (new_certificate(authority, ["localhost"], NOW) for _ in range(2))
    certificate, key = written(tmp_path, first)
    used = ServerCertificate(certificate, key)
    assert not used.refresh()
    (tmp_path / "new").write_text(second.certificate)
    (tmp_path / "new").replace(certificate)
    with pytest.raises(TlsFileError, match="is not the key of"):
        used.refresh()
    with pytest.raises(TlsFileError, match="is not the key of"):  # and tries again
        used.refresh()
    (tmp_path / "new").write_text(second.key)
    (tmp_path / "new").replace(key)
    assert used.refresh()
    assert not used.refresh()


def test_files_that_cannot_be_used_are_said_without_their_content(tmp_path: Path, authority: KeyPair) -> None:
    certificate, key = written(tmp_path, new_certificate(authority, ["localhost"], NOW))
    with pytest.raises(TlsFileError, match=r"other\.key cannot be read: No such file"):
        ServerCertificate(certificate, tmp_path / "other.key")
    locked = tmp_path / "locked.key"
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
        )
    )
    with pytest.raises(
        TlsFileError, match=re.escape("locked.key is encrypted; allowed: a private key without a password")
    ):
        ServerCertificate(certificate, locked)
    with pytest.raises(TlsFileError, match=r"does not fit"):
        ServerCertificate(key, key)
