"""Credentials files of NATS (`.creds`): claims and seed of one user. Without the library of keys, which clients load at their login."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

_MAX_BYTES: Final = 64 * 1024
"""Largest file that is read."""


class CredentialsError(Exception):
    """A file holds no credentials; `str()` says why, without its content."""


def credentials_file(token: str, seed: str) -> str:
    """Return the content of a `.creds` file: claims and seed of a user. Secret."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def seed_of(file: Path) -> str | None:
    """Return the seed in a `.creds` file, or None if it holds none. Secret. Raises OSError."""
    return _after(file, b"-----BEGIN USER NKEY SEED-----")


def token_of(file: Path) -> str | None:
    """Return the claims in a `.creds` file, or None if it holds none. Raises OSError."""
    return _after(file, b"-----BEGIN NATS USER JWT-----")


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token claims, without looking at its signature. Raises ValueError for what is no token."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("found no token of three parts")
    body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(body, dict) or not isinstance(body.get("nats"), dict):
        raise ValueError("found no claims of NATS")
    return body


def _after(file: Path, begin: bytes) -> str | None:
    with file.open("rb") as opened:
        lines = opened.read(_MAX_BYTES).splitlines()
    if begin not in lines[:-1]:
        return None
    return lines[lines.index(begin) + 1].decode("ascii", errors="replace")


def check_credentials(file: Path) -> None:
    """Raise CredentialsError unless `file` holds claims and seed of a user."""
    try:
        with file.open("rb") as opened:
            lines = opened.read(_MAX_BYTES).splitlines()
    except OSError as error:
        raise CredentialsError(f"credentials {file}: {error.strerror or error}") from None
    for begin in (b"-----BEGIN NATS USER JWT-----", b"-----BEGIN USER NKEY SEED-----"):
        if begin not in lines[:-1] or not lines[lines.index(begin) + 1]:
            raise CredentialsError(
                f"credentials {file}: found none; allowed: a .creds file with token and seed of a user"
            )
