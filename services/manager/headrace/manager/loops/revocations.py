"""Revocations loop: has the bus refuse the identities that were revoked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from headrace.common.bus.connect import Bus
from headrace.common.bus.signing import CLAIMS_USER, BusSigning
from headrace.common.bus.system import SystemLogin, replace_claims
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import PassDeferred
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.store import bus_identities

log = structlog.get_logger()
VERIFY_S: Final = 30.0
"""How often the servers' claims are read and compared."""


class RevocationsLoop:
    """Reads: revoked identities, the signing keys' file, the account's claims in the NATS servers. Writes: those claims.

    The claims are made from the database, and the same by every manager. One that read the database before another's revocation, and
    writes after it, sees in its next pass that it wrote older ones; should it end before, the others' comparison mends that.
    """

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        authority: BusAuthority,
        poke: Callable[..., None],
        *,
        url: str,
        ca_file: Path | None,
        monotonic: Monotonic,
    ) -> None:
        self._pool = pool
        self._authority = authority
        self._poke = poke
        self._url = url
        self._ca_file = ca_file
        self._monotonic = monotonic
        self._made: tuple[BusSigning, dict[str, datetime], str] | None = None
        """The newest claims, and what they were made of."""
        self._confirmed: tuple[str, float] | None = None
        """Claims that the servers had, and when."""
        bus.on_reconnect(self._came_back)

    async def one_pass(self) -> None:
        """Have the servers use the present claims, if they may lack them."""
        if not self._authority.configured:
            return
        async with self._pool.acquire() as con:
            revoked = await bus_identities.revoked(con)
        keys = await self._authority.keys()
        claims = await self._claims(keys, revoked)
        now = self._monotonic()
        if self._confirmed is not None and self._confirmed[0] == claims and now - self._confirmed[1] < VERIFY_S:
            return
        login = SystemLogin(self._url, keys.system_credentials, CLAIMS_USER, self._ca_file)
        try:
            replaced = await replace_claims(login, keys.account, claims)
        except BusUnavailable as error:
            raise PassDeferred(error.detail) from None
        self._confirmed = claims, now
        if replaced:
            log.info("account_claims_replaced", revoked=len(revoked))

    async def _claims(self, keys: BusSigning, revoked: dict[str, datetime]) -> str:
        if self._made is None or self._made[0] is not keys or self._made[1] != revoked:
            self._made = keys, revoked, await self._authority.account_claims(revoked)
        return self._made[2]

    def _came_back(self) -> None:
        """Compare soon: servers that start anew may have older claims."""
        self._confirmed = None
        self._poke("revocations")
