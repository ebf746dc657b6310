"""Form of credentials that are sent whole: `<prefix>_<id>_<secret>`. The id finds its row, the secret is stored as a hash only."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_FORM: Final = re.compile(r"([a-z]{2,4})_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class KeyForm:
    """Form of one kind of credential. Its prefix tells it from other kinds, and is for secret scanners."""

    prefix: str

    def new(self, key_id: UUID) -> tuple[str, str]:
        """Generate a credential; return (the whole of it, its secret part)."""
        secret = secrets.token_urlsafe(32)
        return f"{self.prefix}_{key_id.hex}_{secret}", secret

    def parse(self, text: str) -> tuple[UUID, str] | None:
        """Return (id, secret); None when `text` is no credential of this kind."""
        match = _FORM.fullmatch(text)
        return (UUID(match[2]), match[3]) if match and match[1] == self.prefix else None


API_KEY: Final = KeyForm("hr")
JOIN_TOKEN: Final = KeyForm("hrj")
LOGIN: Final = KeyForm("hrl")
LOGIN_CODE: Final = KeyForm("hro")
