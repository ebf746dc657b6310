"""Claims of accounts in running NATS servers: read and replaced by a user of the system account."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError

from headrace.common.bus.connect import TlsClient
from headrace.common.bus.identities import CLAIMS_LOOKUP, CLAIMS_UPDATE
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.runtime.nats_urls import encrypted, server_urls
from headrace.common.runtime.tls import TlsFileError, client_context

_TIMEOUT_S: Final = 10.0
_QUIET_S: Final = 0.3
"""After the first answer, further servers of a cluster have so long for theirs."""


@dataclass(frozen=True, slots=True)
class SystemLogin:
    """Address of the servers, and the credentials of a user of the system account. Holds a secret."""

    url: str
    credentials: str = field(repr=False)
    """Content of its credentials file."""
    user: str
    """Name of its inbox."""
    ca_file: Path | None


async def replace_claims(login: SystemLogin, account: str, claims: str) -> bool:
    """Have the servers use these claims of an account, unless they do; return whether they were replaced.

    Connections of users that the claims revoke end at once. Raises BusUnavailable when no server took them, or one refused.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S), _opened(login) as client:
            used = await _answers(client, CLAIMS_LOOKUP.format(account), b"")
            if all(one.decode(errors="replace") == claims for one in used):
                return False
            for answer in await _answers(client, CLAIMS_UPDATE, claims.encode()):
                _check(answer)
    except (NatsError, OSError, TimeoutError, ValueError, TlsFileError) as error:
        raise BusUnavailable(
            f"NATS did not take the claims of an account: {str(error) or type(error).__name__}"
        ) from error
    return True


@asynccontextmanager
async def _opened(login: SystemLogin) -> AsyncIterator[Client]:
    servers = server_urls(login.url)
    tls = encrypted(servers)
    client = TlsClient() if tls else Client()
    failed: list[Exception] = []

    async def note(error: Exception) -> None:
        failed.append(error)

    try:
        await client.connect(
            list(servers),
            user_credentials=RawCredentials(login.credentials),
            tls=client_context(login.ca_file) if tls else None,
            name="manager system",
            inbox_prefix=f"_INBOX_{login.user}".encode(),
            connect_timeout=5,
            allow_reconnect=False,
            error_cb=note,
        )
        yield client
    except NatsError as error:
        raise failed[0] if failed else error from None
    finally:
        await client.close()


async def _answers(client: Client, subject: str, data: bytes) -> list[bytes]:
    """Return the servers' answers: at least one, or TimeoutError."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, data, reply=inbox)
    answers = [(await subscription.next_msg(timeout=_TIMEOUT_S)).data]
    try:
        while True:
            answers.append((await subscription.next_msg(timeout=_QUIET_S)).data)
    except TimeoutError:
        pass
    await subscription.unsubscribe()
    return answers


def _check(answer: bytes) -> None:
    """Raise ValueError with what a server says against the claims."""
    told: Any = json.loads(answer)
    if not isinstance(told, dict) or "error" in told or told.get("data", {}).get("code") != 200:
        raise ValueError(answer.decode(errors="replace")[:300])
