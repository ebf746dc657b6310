"""Calls of a machine that joins: certificates of the authority, known by their fingerprint, and the join itself. Blocking."""

from __future__ import annotations

import hashlib
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from headrace.common.joining.errors import JoinError, JoinRefusedError

_TIMEOUT_S: Final = 15.0
_MAX_BYTES: Final = 4 * 1024 * 1024
"""Of an answer: the authority's certificates are in it."""


@dataclass(frozen=True, slots=True)
class Manager:
    """Manager's API: where it is, and the certificates (PEM) by which it is verified; None: the system's."""

    url: str
    ca: str | None

    def version(self) -> tuple[str, datetime | None]:
        """Return the manager's version, and its clock to a second. Raises JoinError."""
        answer, headers = _call(self, "GET", "/v1/version")
        found = headers.get("Date")
        return str(answer.get("version")), parsedate_to_datetime(found) if found else None

    def join(self, *, token: str, kind: str, name: str, public_key: str) -> dict[str, Any]:
        """Join, and return what the manager answers (`Joined`). Raises JoinRefusedError, or JoinError where it may have joined."""
        body = {"token": token, "kind": kind, "name": name, "public_key": public_key}
        return _call(self, "POST", "/v1/join", body)[0]


def known_manager(url: str, *, ca: str | None, ca_sha256: str | None) -> Manager:
    """Return the manager at `url`, verified by `ca`, or by the certificates that it gives if their SHA-256 is the known one.

    Raises JoinError.
    """
    url = url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.username:
        raise JoinError(f"--url: found {url}; allowed: https://HOST[:PORT] of the managers' API")
    if ca is not None or ca_sha256 is None or parts.scheme == "http":
        return Manager(url, ca)
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # what comes is compared with the fingerprint
    content = _read(url, urllib.request.Request(f"{url}/v1/join/ca.crt"), unverified)[0]  # noqa: S310 - http(s), checked above
    found = hashlib.sha256(content).hexdigest()
    if found != ca_sha256.lower().removeprefix("sha256:"):
        raise JoinError(
            f"{url} has another certificate authority: found {found}, allowed {ca_sha256} (--ca-sha256). Make a new join token, or "
            "find out who answers there"
        )
    return Manager(url, content.decode("ascii", errors="replace"))


def _call(manager: Manager, method: str, path: str, body: dict[str, str] | None = None) -> tuple[dict[str, Any], Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - http(s), checked by known_manager
        f"{manager.url}{path}", data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        context = ssl.create_default_context(cadata=manager.ca)
    except (ssl.SSLError, ValueError):
        raise JoinError("--ca-file holds no certificate; allowed: certificates in PEM") from None
    content, headers = _read(manager.url, request, context)
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise JoinError(
            f"{manager.url}{path} answers with something else than a manager does; allowed: the managers' API"
        )
    return answer, headers


def _read(url: str, request: urllib.request.Request, context: ssl.SSLContext) -> tuple[bytes, Any]:
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects())
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return answer.read(_MAX_BYTES), answer.headers
    except urllib.error.HTTPError as error:
        refused = JoinRefusedError if error.code < HTTPStatus.INTERNAL_SERVER_ERROR else JoinError
        raise refused(f"{url} refuses: {_detail(error)}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise JoinError(
                f"{url}: its certificate is not by the authority that is known: {error.reason.verify_message}"
            ) from None
        raise JoinError(f"{url} cannot be reached: {error.reason}; is the manager up, and the port open?") from None
    except (OSError, ValueError) as error:
        raise JoinError(f"{url} cannot be reached: {str(error) or type(error).__name__}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the manager that is known, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""
        return


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read(_MAX_BYTES))
    except (OSError, ValueError):
        told = None
    detail = told.get("detail") if isinstance(told, dict) else None
    return str(detail) if detail else f"status {error.code}"
