"""App-proxy with all features on, compiled like its wheel: a route table on disk, real EdDSA tokens, no bus."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.proxy.machine import MissingError
from benchmarks.proxy.processes import free_port
from headrace.appproxy.settings import Settings
from headrace.common.contracts.ids import ProjectId, RevisionId, ServiceId, SessionId, TokenId, new_uuid
from headrace.common.contracts.messages.routes import (
    Balance,
    Limits,
    RateLimits,
    Revocation,
    Route,
    RouteTable,
    TokenKey,
    TokenLimits,
)

SERVICE = "chat"
PREFIX = f"/{SERVICE}"
COMMAND = (sys.executable, "-m", "headrace.appproxy")
_KEY_ID = "k1"
_NOBODY = "nats://127.0.0.1:1"
"""The bus is away: the proxy serves from the tables on disk, as it must."""
_PLENTY = RateLimits(requests_per_second=1_000_000, in_flight=100_000)
"""Limits that are looked at and never reached. Bounds of model tokens need the shared store, which is not part of this."""


def prepare(
    folder: Path, *, port: int, backends: Sequence[int], callers: int, workers: int, build: Path | None = None
) -> tuple[dict[str, str], list[str]]:
    """Write the table below `folder`; return the process environment, and a token for each caller.

    `build`: a folder like build/compiled; None is this checkout's, compiled as for a release, again if sources have changed.

    Raises MissingError where the app-proxy cannot have this number of workers.
    """
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    (data / "routes").mkdir(parents=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    token_ids = [TokenId(new_uuid()) for _ in range(callers)]
    table = _table(key, token_ids, backends)
    (data / "routes" / f"{table.service_id}.json").write_bytes(table.encode())
    named = {
        "ID": "bench",
        "NATS_URL": _NOBODY,
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": port,
        "ADMIN_PORT": free_port(),
        "DATA_DIR": data,
        "SHUTDOWN_GRACE_S": 0.1,
        "KEEPALIVE_TIMEOUT_S": 600,
        "LOG_FORMAT": "json",
    }
    if "workers" in Settings.model_fields:
        named["WORKERS"] = workers
    elif workers > 1:
        raise MissingError("the app-proxy has no setting for the number of workers")
    environment = {f"HEADRACE_APPPROXY_{name}": str(value) for name, value in named.items()}
    environment["PYTHONPATH"] = str(build.resolve() if build is not None else _compiled())
    return environment, [_token(key, table.service_id, token_id) for token_id in token_ids]


def _compiled() -> Path:
    """Return the path of the wheel's content, rebuilt when sources changed. Raises MissingError."""
    as_released = os.environ | {"HEADRACE_COMPILE": "profiled"}
    done = subprocess.run(["scripts/compile"], env=as_released, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"it could not be compiled: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return Path("build/profiled").resolve()


def _table(key: Ed25519PrivateKey, token_ids: Sequence[TokenId], backends: Sequence[int]) -> RouteTable:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    revision = RevisionId(new_uuid())
    return RouteTable(
        service_id=ServiceId(new_uuid()),
        generation=1,
        name=SERVICE,
        project_id=ProjectId(new_uuid()),
        token_keys=(TokenKey(kid=_KEY_ID, public_key=base64.urlsafe_b64encode(raw).decode().rstrip("=")),),
        revocations=(Revocation(token_id=TokenId(new_uuid()), expires_at=datetime.now(UTC) + timedelta(days=1)),),
        token_limits=tuple(TokenLimits(token_id=one, limits=_PLENTY, share=2) for one in token_ids[::2]),
        caller_limits=_PLENTY,
        limits=Limits(max_in_flight_per_replica=10_000, max_queued=10_000),
        balance=Balance(policy="least-in-flight"),
        wanted=len(backends),
        routes=tuple(
            Route(session_id=SessionId(new_uuid()), revision_id=revision, host="127.0.0.1", port=port, health="healthy")
            for port in backends
        ),
    )


def _token(key: Ed25519PrivateKey, service_id: UUID, token_id: UUID) -> str:
    now = datetime.now(UTC)
    claims = {
        "iss": "headrace",
        "sub": str(service_id),
        "jti": str(token_id),
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(days=1)).timestamp()),
    }
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": _KEY_ID})
