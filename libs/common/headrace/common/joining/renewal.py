"""Renewal of a service's identity on the bus: asks a manager for a new signature long before the present one ends."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog

from headrace.common.bus.connect import Bus
from headrace.common.bus.credentials import claims_of, credentials_file, seed_of, token_of
from headrace.common.contracts.joining import renewal_message
from headrace.common.runtime.clock import Clock
from headrace.common.runtime.files import write_atomically
from headrace.common.runtime.loop import Loop, PassDeferred
from headrace.common.runtime.tls import TlsFileError, client_context

log = structlog.get_logger()
EVERY: Final = timedelta(seconds=5)
FIRST_WAIT_S: Final = 5.0
MAX_WAIT_S: Final = 300.0
"""Waits after a failed try grow from one to the other."""
_TIMEOUT_S: Final = 15.0
_MAX_BYTES: Final = 64 * 1024
_REFUSED: Final = "authorization violation"


@dataclass(frozen=True, slots=True)
class Signature:
    """Whose identity it is, and from when to when it is signed (seconds since 1970); `ends` None: without end. Pure."""

    public_key: str
    begins: int
    ends: int | None

    def renew_at(self) -> float | None:
        """Return when it is renewed: at a third of its life, spread over a tenth by its key, so that a fleet does not come at once."""
        if self.ends is None:
            return None
        life = self.ends - self.begins
        spread = int.from_bytes(self.public_key[-4:].encode(), "big") % 1000 / 1000
        return self.begins + life * (1 / 3 + spread / 10)


def keep_identity(installed: Path | None, kept: Path | None) -> None:
    """Copy an identity to where its renewals are kept, unless those are of the same key and newer. Blocks. Raises OSError.

    The installed file may be read only, as what systemd hands to a service is.
    """
    if installed is None or kept is None or installed == kept:
        return
    seed, token = seed_of(installed), token_of(installed)
    if seed is None or token is None:
        return  # the login says what is wrong with it
    if kept.exists() and seed_of(kept) == seed and _issued_at(token_of(kept)) >= _issued_at(token):
        return
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(kept, credentials_file(token, seed))


def _issued_at(token: str | None) -> int:
    try:
        return int(claims_of(token or "")["iat"])
    except (ValueError, KeyError):
        return 0


class IdentityRenewal:
    """Renews the identity in `file`, which the bus' client reads at each connect; one without end is left alone.

    It is renewed at a third of its life, and as soon as the bus refuses it, since a machine that was off for long may have missed that.
    While no manager answers it is used as it is, and asked for again. `on_removed` is called with the manager's words, who removed the
    machine, when and why, once it says so.
    """

    def __init__(
        self,
        installed: Path,
        file: Path,
        urls: Sequence[str],
        ca_file: Path | None,
        *,
        unreachable: Callable[[], str | None],
        now: Clock,
        on_removed: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._installed = installed
        self._file = file
        self._urls = tuple(urls)
        self._ca_file = ca_file
        self._unreachable = unreachable
        self._now = now
        self._on_removed = on_removed
        self._wait_s = FIRST_WAIT_S
        self._not_before = 0.0

    async def one_pass(self) -> None:
        """Renew the identity, if it is time. Raises PassDeferred with why no manager renewed it."""
        seed, signature = await asyncio.to_thread(self._read)
        now = self._now().timestamp()
        due = signature.renew_at()
        refused = _REFUSED in (self._unreachable() or "").lower()
        if now < self._not_before or not (refused or (due is not None and now >= due)):
            return
        self._not_before = now + self._wait_s
        self._wait_s = min(MAX_WAIT_S, self._wait_s * 2)
        token = await self._renewed(seed, int(now))
        await asyncio.to_thread(write_atomically, self._file, credentials_file(token, seed))
        self._wait_s = FIRST_WAIT_S
        log.info("identity_renewed", until=claims_of(token).get("exp"))

    async def _renewed(self, seed: str, now: int) -> str:
        from headrace.common.bus.identities import public_key, sign  # noqa: PLC0415 - most services load no library of keys

        key = public_key(seed)
        signature = base64.urlsafe_b64encode(sign(seed, renewal_message(key, now))).decode("ascii")
        body = {"public_key": key, "signed_at": now, "signature": signature}
        errors = []
        try:
            tls = await asyncio.to_thread(client_context, self._ca_file)
        except TlsFileError as error:
            raise PassDeferred(str(error)) from None
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), timeout=timeout) as http:
            for url in self._urls:
                try:
                    async with http.post(f"{url}/v1/join/renew", json=body, allow_redirects=False) as answer:
                        status, told = answer.status, await _told(answer)
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    errors.append(f"{url}: {str(error) or type(error).__name__}")
                    continue
                if status == 200 and _is_of(told.get("token"), key):
                    return str(told["token"])
                errors.append(f"{url}: {told.get('detail') or status}")
                if status == 403 and "removed" in told and self._on_removed is not None:
                    await self._on_removed(str(told.get("detail", ""))[:1000])
                    break
        raise PassDeferred(f"the identity was not renewed: {'; '.join(errors)}")

    def _read(self) -> tuple[str, Signature]:
        """Return seed and signature, of the installed identity if that was replaced. Raises PassDeferred for a file that cannot be used."""
        try:
            keep_identity(self._installed, self._file)
            seed, token = seed_of(self._file), token_of(self._file)
            if seed is None or token is None:
                raise PassDeferred(f"credentials {self._file}: found none")
            claims = claims_of(token)
            return seed, Signature(claims["sub"], int(claims["iat"]), claims.get("exp"))
        except (OSError, ValueError, KeyError) as error:
            raise PassDeferred(f"credentials {self._file} cannot be read: {error}") from None


def identity_loop(
    installed: Path | None,
    file: Path | None,
    urls: Sequence[str],
    ca_file: Path | None,
    bus: Bus,
    now: Clock,
    *,
    on_removed: Callable[[str], Awaitable[None]] | None = None,
) -> tuple[Loop, ...]:
    """Return the loop that renews a service's identity; none for one that is not renewed."""
    if installed is None or file is None:
        return ()
    renewal = IdentityRenewal(
        installed, file, urls, ca_file, unreachable=bus.unreachable, now=now, on_removed=on_removed
    )
    return (Loop("identity", renewal.one_pass, every=EVERY),)


async def _told(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    content = await answer.content.read(_MAX_BYTES)
    told = json.loads(content)
    return told if isinstance(told, dict) else {}


def _is_of(token: object, key: str) -> bool:
    """Return whether this is a token of the key: what a manager answers replaces the identity."""
    try:
        return isinstance(token, str) and claims_of(token)["sub"] == key
    except (ValueError, KeyError):
        return False
