"""Import of aiohttp as services do it: see lean.py. A module of its own, for processes that have no use for aiohttp."""

from __future__ import annotations

import os

_AUTHORITIES = "SSL_CERT_FILE"
"""OpenSSL's variable for the system's authorities."""


def load_http() -> None:
    """Import aiohttp without the system's certificate authorities, which it reads on import, twice: a seventh of a service's
    start.

    They are for sessions without a TLS context of their own, and no service has one that speaks TLS.
    """
    before = os.environ.get(_AUTHORITIES)
    os.environ[_AUTHORITIES] = os.devnull
    try:
        import aiohttp  # noqa: F401, PLC0415
    finally:
        if before is None:
            del os.environ[_AUTHORITIES]
        else:
            os.environ[_AUTHORITIES] = before
