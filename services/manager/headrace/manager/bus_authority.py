"""Signatures of identities on the bus, by the keys in `bus_signing_file`, and the account's claims with what is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from headrace.common.bus.identities import revised_account_token, user_token
from headrace.common.bus.permissions import BusUser, UserKind
from headrace.common.bus.signing import BusSigning, SigningFileError, read_signing
from headrace.common.contracts.problems import Conflict, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.contracts.vocabulary import JoinKind
from headrace.manager.domain.records.joining import Signed

_KINDS: Final[Mapping[JoinKind, UserKind]] = {
    "agent": UserKind.AGENT,
    "proxy": UserKind.APPPROXY,
    "autoscaler": UserKind.AUTOSCALER,
}


class BusAuthority:
    """Signer of identities. The file is read when it was replaced, so that a rotation needs no restart."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._loaded: tuple[tuple[int, int, int], BusSigning] | None = None

    @property
    def configured(self) -> bool:
        """Whether identities are signed here: not where users have passwords (`headrace up`)."""
        return self._file is not None

    async def keys(self) -> BusSigning:
        """Return the signing keys. Raises Conflict in an installation without, Unavailable when the file cannot be used."""
        if self._file is None:
            raise Conflict(
                "this installation signs no identities, so no machine can join it: its bus has users with passwords, as "
                "`headrace up` makes them. Make one for many machines with `headrace init`; bus_signing_file names its keys"
            )
        try:
            return await asyncio.to_thread(self._read, self._file)
        except SigningFileError as error:
            raise Unavailable(f"bus_signing_file: {error}", reason=ApiReason.SIGNING_KEYS_UNREADABLE) from None

    async def sign(self, public_key: str, signed: Signed) -> str:
        """Return the claims of an identity, for exactly its subjects. Raises Conflict, Unavailable."""
        keys = await self.keys()
        kind = _KINDS[signed.kind]
        return user_token(
            keys.account_signing,
            BusUser(signed.name, kind, signed.name),
            account=keys.account,
            public=public_key,
            issued_at=int(signed.issued_at.timestamp()),
            expires_at=int(signed.expires_at.timestamp()),
        )

    async def account_claims(self, revoked: Mapping[str, datetime]) -> str:
        """Return the account's claims with these keys revoked, beside those of the file. Raises Conflict, Unavailable."""
        keys = await self.keys()
        moments = {key: int(at.timestamp()) for key, at in revoked.items()}
        return await asyncio.to_thread(revised_account_token, keys.account_claims, keys.operator_signing, moments)

    def _read(self, file: Path) -> BusSigning:
        try:
            found = file.stat()
        except OSError as error:
            raise SigningFileError(f"{file} cannot be read: {error.strerror or error}") from None
        version = found.st_ino, found.st_mtime_ns, found.st_size
        if self._loaded is None or self._loaded[0] != version:
            self._loaded = version, read_signing(file)
        return self._loaded[1]
