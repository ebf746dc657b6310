"""Use cases of machines that join, and renew their identities. The credential is a join token, or the machine's own key."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

from headrace.common.bus.identities import is_user_key, verifies
from headrace.common.contracts.http.joining import Identity, Join, Joined, PublicKey, RenewIdentity
from headrace.common.contracts.joining import renewal_message
from headrace.common.contracts.keyform import JOIN_TOKEN
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NameTaken,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.contracts.vocabulary import JoinKind
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.domain import joining
from headrace.manager.domain.records.joining import Signed, StoredJoinToken
from headrace.manager.signing import Vault
from headrace.manager.store import agents, bus_identities, events, join_tokens
from headrace.manager.usecases.failed_attempts import FailedAttempts

MAX_IDENTITIES: Final = 10_000
"""Machines, app-proxies and autoscalers that have joined and are not revoked."""
MAX_SKEW_S: Final = 300
"""Difference of clocks with which an identity is renewed."""
_MAX_CA_BYTES: Final = 1024 * 1024
_SCRIPT: Final = Template((Path(__file__).parent / "join.sh").read_text(encoding="utf-8"))
_DOCKER_SCRIPT: Final = Template((Path(__file__).parent / "join_docker.sh").read_text(encoding="utf-8"))
_NO_IMAGE: Final = (
    "the managers' setting agent_image is empty; allowed: the image of the agent, as machines have or pull it "
    "(HEADRACE_MANAGER_AGENT_IMAGE=registry.example.com/headrace-agent:VERSION; compose.yaml of headrace init sets it)"
)


@dataclass(frozen=True, slots=True)
class Installation:
    """What a machine that joins is told of the installation."""

    url: str
    """Base URL of the API as machines reach it."""
    nats_url: str
    ca_file: Path | None
    settings: Mapping[JoinKind, Mapping[str, str]] = field(default_factory=dict)
    """Further settings of each kind of service."""
    agent_image: str = ""
    """Image of the agent; empty: machines join without."""

    def ca(self) -> bytes | None:
        """Return the certificates of the authorities (PEM), if machines need them. Blocks. Raises Unavailable."""
        if self.ca_file is None:
            return None
        try:
            with self.ca_file.open("rb") as file:
                return file.read(_MAX_CA_BYTES)
        except OSError as error:
            raise Unavailable(
                f"ca_file {self.ca_file} cannot be read: {error.strerror or error}",
                reason=ApiReason.SIGNING_KEYS_UNREADABLE,
            ) from None

    def script(self) -> str:
        """Return the script that installs Headrace on a machine and joins it. Blocks. Raises Unavailable."""
        return _SCRIPT.substitute(url=self.url, version=version("headrace"), ca=(self.ca() or b"").decode().strip())

    def ca_sha256(self) -> str | None:
        """Return the SHA-256 of the authorities' certificates, if machines need them. Blocks. Raises Unavailable."""
        ca = self.ca()
        return None if ca is None else hashlib.sha256(ca).hexdigest()

    def docker_script(self) -> str:
        """Return the script that joins a machine and runs its agent as a container. Blocks. Raises NotFound, Unavailable."""
        if (why := self.no_image()) is not None:
            raise NotFound(why)
        pinned = self.ca_sha256()
        option = "" if pinned is None else f"--ca-sha256 {pinned}"
        return _DOCKER_SCRIPT.substitute(url=self.url, image=self.agent_image, ca_option=option)

    def no_image(self) -> str | None:
        """Return why no machine can join by the agent's image; None when one can."""
        return None if self.agent_image else _NO_IMAGE


class Joining:
    """Use cases of machines that join, and renew their identities."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        authority: BusAuthority,
        installation: Installation,
        attempts: FailedAttempts,
        clock: Clock,
        *,
        lifetime: timedelta,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._authority = authority
        self.installation = installation
        self._attempts = attempts
        self._clock = clock
        self._lifetime = lifetime

    async def join(self, request: Join, source_address: str) -> Joined:
        """Sign the identity of a machine that has a join token. Repeated by the same key it takes no further use.

        Raises Unauthenticated for a token that is unknown or over, NameTaken, Conflict, InvalidRequest for what is no key,
        TooManyRequests after failed attempts, Unavailable.
        """
        self._attempts.check(source_address)
        keys = await self._authority.keys()
        _check_key(request.public_key)
        async with transaction(self._pool) as con:
            await bus_identities.lock_changes(con)
            stored = await self._token(con, request.token, source_address)
            known = await bus_identities.by_key(con, request.public_key)
            again = known is not None and known[1] == stored.token.id
            if (why := joining.token_refusal(stored, request.kind, again=again)) is not None:
                raise Unauthenticated(why)
            if known is not None:
                if not again or (known[0].name, known[0].kind) != (request.name, request.kind):
                    raise Conflict(f"this key has joined as {known[0].name} before; make a new one for {request.name}")
                if (why := joining.identity_refusal(known[0])) is not None:
                    raise Conflict(f"{why}; a machine joins again with a new key and a new join token")
                signed = await bus_identities.renew(con, request.public_key, self._lifetime)
            else:
                signed = await self._added(con, request, stored, (*keys.users, *keys.reserved), source_address)
        if signed is None:
            raise Conflict(f"the identity of {request.name} was revoked meanwhile")
        ca = await asyncio.to_thread(self.installation.ca)
        return Joined(
            identity=await self._identity(request.public_key, signed),
            nats_url=self.installation.nats_url,
            ca=None if ca is None else ca.decode(),
            settings=dict(self.installation.settings.get(request.kind, {})),
        )

    async def renew(self, request: RenewIdentity, source_address: str) -> Identity:
        """Sign an identity anew for who proves to have its key, also one that has ended by itself.

        Raises Unauthenticated for a wrong proof, NotFound for a key that is not known, Forbidden with who removed the machine,
        TooManyRequests after failed attempts, Conflict, Unavailable.
        """
        self._attempts.check(source_address)
        self._check_proof(request, source_address)
        async with transaction(self._pool) as con:
            known = await bus_identities.by_key(con, request.public_key)
            if known is None:
                self._attempts.failed(source_address)
                raise NotFound("no identity with this key has joined; join with a join token")
            if (why := joining.identity_refusal(known[0])) is not None:
                raise Forbidden(why, removed=known[0].name)
            signed = await bus_identities.renew(con, request.public_key, self._lifetime)
        if signed is None:
            raise Forbidden(f"the identity of {known[0].name} was revoked meanwhile", removed=known[0].name)
        return await self._identity(request.public_key, signed)

    def _check_proof(self, request: RenewIdentity, source_address: str) -> None:
        now = int(self._clock().timestamp())
        if abs(now - request.signed_at) > MAX_SKEW_S:
            raise Unauthenticated(
                f"signed_at: found {request.signed_at}, and the clock here says {now}; allowed: {MAX_SKEW_S} s apart: set the clock"
            )
        try:
            signature = base64.urlsafe_b64decode(request.signature + "=" * (-len(request.signature) % 4))
        except ValueError:
            signature = b""
        message = renewal_message(request.public_key, request.signed_at)
        if not is_user_key(request.public_key) or not verifies(request.public_key, message, signature):
            self._attempts.failed(source_address)
            raise Unauthenticated(
                "signature: found one that is not by this key; allowed: of renewal_message, by the key"
            )

    async def _token(self, con: Connection, text: str, source_address: str) -> StoredJoinToken:
        """Return the token with this secret. Raises Unauthenticated without saying which part was wrong."""
        parsed = JOIN_TOKEN.parse(text)
        stored = await join_tokens.lock(con, parsed[0]) if parsed else None
        matches = self._vault.matches(parsed[1] if parsed else "", stored.secret_hash if stored else bytes(32))
        if stored is None or not matches:
            self._attempts.failed(source_address)
            raise Unauthenticated("this join token is not known")
        return stored

    async def _added(
        self, con: Connection, request: Join, stored: StoredJoinToken, installed: tuple[str, ...], source_address: str
    ) -> Signed:
        """Add an identity, and count a use of the token. Raises NameTaken, Conflict."""
        taken = joining.NameTaken(
            request.name,
            request.kind,
            installed,
            held=await bus_identities.key_of(con, request.name) is not None,
            removed=request.kind == "agent" and await agents.was_removed(con, request.name),
            reported=request.kind == "agent" and await agents.one(con, request.name) is not None,
        )
        if (why := taken.refusal()) is not None:
            raise NameTaken(why)
        if (living := await bus_identities.living(con)) >= MAX_IDENTITIES:
            raise Conflict(f"{living} have joined; allowed: {MAX_IDENTITIES}", found=living, allowed=MAX_IDENTITIES)
        token = stored.token
        await join_tokens.use(con, token.id)
        signed = await bus_identities.insert(
            con,
            request.public_key,
            request.name,
            request.kind,
            token.id,
            resource_group=token.resource_group,
            labels=token.labels,
            lifetime=self._lifetime,
        )
        details = {"name": request.name, "join_token": str(token.id), "address": source_address}
        await events.note(con, f"{request.kind}.joined", details=details, by=f"join token of {token.created_by}")
        return signed

    async def _identity(self, public_key: PublicKey, signed: Signed) -> Identity:
        token = await self._authority.sign(public_key, signed)
        return Identity(name=signed.name, kind=signed.kind, token=token, expires_at=signed.expires_at)


def _check_key(public_key: str) -> None:
    if not is_user_key(public_key):
        raise InvalidRequest.of("public_key", public_key, "the public key of a user of NATS, whose checksum is right")
