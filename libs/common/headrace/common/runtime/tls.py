"""TLS of all connections: certificates of servers are verified by `ca_file` (PEM), or by the system's authorities without it."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

_OPTIONS: Final = {
    "postgresql": ("sslrootcert", "sslmode"),
    "postgres": ("sslrootcert", "sslmode"),
    "rediss": ("ssl_ca_certs", None),
}
"""Scheme of a URL → its option for the authorities' file, and the option without which the client does not use TLS."""


class TlsFileError(OSError):
    """A file of certificates or keys cannot be used; `str()` says which one and why, without its content."""


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context for clients, which verifies the server's certificate and host name. Raises TlsFileError."""
    if ca_file is None:
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (ssl.SSLError, ValueError):
        raise TlsFileError(f"{ca_file} holds no certificate; allowed: certificates in PEM") from None
    except OSError as error:
        raise TlsFileError(f"{ca_file} cannot be read: {error.strerror or error}") from None
    return context


def trusting(url: str, ca_file: Path | None) -> str:
    """Return the URL of a PostgreSQL or Redis server with `ca_file` as its authority, where it wants TLS and names none.

    TLS is wanted by `rediss://`, and by `sslmode=` of a `postgresql://` URL. Its other options stay as they are, and so
    does what is no URL: the client that is given it says what is wrong.
    """
    if ca_file is None:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    option, wanted = _OPTIONS.get(parts.scheme, (None, None))
    given = parse_qs(parts.query, keep_blank_values=True)
    if option is None or option in given or (wanted is not None and wanted not in given):
        return url
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{option}={quote(str(ca_file), safe='/')}"))


class ServerCertificate:
    """Certificate and private key of a server, which uses files that were replaced for new connections.

    Raises TlsFileError if they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self.context = server_context(certificate, key)
        self._loaded = self._versions()
        self.ends_at = _end_of(certificate)
        """When the loaded one ends."""

    def refresh(self) -> bool:
        """Load the files if they were replaced; return whether that was so. Raises TlsFileError; the loaded ones stay in use."""
        versions = self._versions()
        if versions == self._loaded:
            return False
        load_certificate(self.context, *self._files)
        self._loaded, self.ends_at = versions, _end_of(self._files[0])
        return True

    def _versions(self) -> list[tuple[int, int] | None]:
        return [_version(file) for file in self._files]


def _end_of(certificate: Path) -> datetime:
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - loaded by servers with a certificate only

    try:
        return load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise TlsFileError(f"{certificate} cannot be read: {error}") from None


def _version(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for a server with this certificate (with its chain) and private key. Raises TlsFileError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let a server's context use this certificate and key for new connections. Raises TlsFileError, with nothing changed."""
    for file in (certificate, key):
        try:
            file.open("rb").close()
        except OSError as error:
            raise TlsFileError(f"{file} cannot be read: {error.strerror or error}") from None
    try:  # on a trial, since a context keeps a certificate whose key is refused
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_refuse)
    except ssl.SSLError as error:
        why = "is not the key of" if error.reason == "KEY_VALUES_MISMATCH" else "does not fit"
        raise TlsFileError(f"{key} {why} {certificate}; allowed: a certificate and its private key in PEM") from None
    except _EncryptedKeyError:
        raise TlsFileError(
            f"{key} is encrypted; allowed: a private key without a password, readable by its owner only"
        ) from None
    context.load_cert_chain(certificate, key)


class _EncryptedKeyError(Exception):
    """The private key wants a password."""


def _refuse() -> NoReturn:
    raise _EncryptedKeyError
