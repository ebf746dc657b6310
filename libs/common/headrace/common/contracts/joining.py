"""What machines that join, and managers, both write: join tokens, and the proof by which an identity is renewed.

A join token is `hrj_<id>_<secret>`: the id finds its row, the secret is stored as a hash only.
"""

from __future__ import annotations

import re
import secrets
from uuid import UUID

from headrace.common.contracts.ids import JoinTokenId

_TOKEN = re.compile(r"hrj_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


def new_join_token(token_id: JoinTokenId) -> tuple[str, str]:
    """Generate a join token; return (the token as a machine sends it, its secret part)."""
    secret = secrets.token_urlsafe(32)
    return f"hrj_{token_id.hex}_{secret}", secret


def parse_join_token(text: str) -> tuple[UUID, str] | None:
    """Return (token id, secret); None when `text` is no join token."""
    match = _TOKEN.fullmatch(text)
    return (UUID(match.group(1)), match.group(2)) if match else None


def renewal_message(public_key: str, signed_at: int) -> bytes:
    """Return what is signed to renew an identity. `signed_at`: seconds since 1970."""
    return f"headrace renew {public_key} {signed_at}".encode()
