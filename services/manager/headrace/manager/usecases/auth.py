"""Authentication by API key.

Nothing is cached: a deleted key is refused by the next request.
"""

from __future__ import annotations

from headrace.common.contracts.keyform import API_KEY
from headrace.common.contracts.problems import Unauthenticated
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.signing import Vault
from headrace.manager.store import users


class Authentication:
    """Authenticator of API keys."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def actor(self, authorization: str | None, source_address: str) -> Actor:
        """Authenticate the Authorization header. Raises Unauthenticated without saying which part was wrong."""
        if not authorization:
            raise Unauthenticated("send an API key: Authorization: Bearer hr_…")
        scheme, _, text = authorization.partition(" ")
        parsed = API_KEY.parse(text.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise Unauthenticated("the Authorization header holds no API key; allowed: Bearer hr_…")
        key_id, secret = parsed
        async with self._pool.acquire() as con:
            stored = await users.by_key(con, key_id)
        matches = self._vault.matches(secret, stored.secret_hash if stored else bytes(32))
        if stored is None or not matches:
            raise Unauthenticated("this API key is not known")
        if stored.expired:
            raise Unauthenticated("this API key has expired")
        user = stored.user
        ends_at = stored.ends_at
        return Actor(user.id, user.name, operator=user.operator, source_address=source_address, key_ends_at=ends_at)
