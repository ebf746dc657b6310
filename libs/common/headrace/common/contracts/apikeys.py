"""Form of an API key: `hr_<id>_<secret>`. The id finds its row, the secret is stored as a hash only."""

from __future__ import annotations

import re
import secrets
from uuid import UUID

from headrace.common.contracts.ids import KeyId

_KEY = re.compile(r"hr_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


def new_api_key(key_id: KeyId) -> tuple[str, str]:
    """Generate an API key; return (the key as its user gets it, its secret part)."""
    secret = secrets.token_urlsafe(32)
    return f"hr_{key_id.hex}_{secret}", secret


def parse_api_key(text: str) -> tuple[UUID, str] | None:
    """Return (key id, secret); None when `text` is not an API key."""
    match = _KEY.fullmatch(text)
    return (UUID(match.group(1)), match.group(2)) if match else None
