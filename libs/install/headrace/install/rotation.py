"""Rotation of one secret: the new state, and the steps that an operator takes afterwards. Pure but for chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from headrace.common.bus.identities import new_seed, public_key
from headrace.common.bus.permissions import UserKind
from headrace.common.bus.signing import CLAIMS_USER
from headrace.common.runtime.secrets_keys import SECRET_KEY_ID, new_secrets_key
from headrace.install.bus import account_of
from headrace.install.certificates import new_authority
from headrace.install.errors import InstallError
from headrace.install.plan import Layout, Plan
from headrace.install.state import State, bus_users, new_identity, new_password, new_scrape_key, server_certificates
from headrace.install.steps import (
    certificate_step,
    cluster_copies,
    files_steps,
    identity_step,
    managers_step,
    signing_step,
)

BUS: Final = "bus:"
MAX_REVOKED: Final = 1000
"""Revoked identities of an account: all stand in its claims."""
_NATS_CERTIFICATE: Final = ("tls/{}.crt", "tls/{}.key")
_NATS_CONFIGURATION: Final = "nats/{}.conf"
_ELSEWHERE: Final = {
    "admin-key": "its key is replaced by `headrace user key` and `headrace user rm-key`",
    "secret-key": "signing keys in the database are encrypted with it, and it cannot be replaced yet; secrets-key replaces that of secrets",
}


@dataclass(frozen=True, slots=True)
class Rotation:
    """Result of a rotation, or of one step of it; the same state where that step was done before."""

    state: State
    steps: tuple[str, ...]


def rotations(state: State) -> list[str]:
    """Return what can be rotated."""
    return [*_ROTATIONS, *(f"{BUS}{name}" for name in sorted(state.identities))]


def rotated(state: State, what: str, now: datetime) -> Rotation:
    """Return the state with one secret replaced. Raises InstallError for an unknown `what`, with what is allowed."""
    rotation = _rotated(state, what, now)
    return replace(rotation, steps=(*files_steps(state.plan.layout), *rotation.steps))


def _rotated(state: State, what: str, now: datetime) -> Rotation:
    if what in _ELSEWHERE:
        raise InstallError(f"--rotate: found {what}: {_ELSEWHERE[what]}")
    if what in _ROTATIONS:
        return _ROTATIONS[what](state, now)
    name = what.removeprefix(BUS)
    if not what.startswith(BUS) or name not in state.identities:
        raise InstallError(f"--rotate: found {what}; allowed: {', '.join(rotations(state))}")
    return _bus(state, name, now)


def _database(state: State, _: datetime) -> Rotation:
    run = (
        "Have PostgreSQL take the new password: docker compose exec postgres psql -U postgres -f /etc/headrace/roles.sql headrace. "
        "It is in force for new connections."
        if state.plan.layout is Layout.COMPOSE
        else "Run postgres/roles.sql as PostgreSQL's superuser: the new password is in force for new connections."
    )
    return Rotation(
        state.model_copy(update={"passwords": {**state.passwords, "database": new_password()}}),
        (
            run,
            f"{managers_step(state.plan.layout)} Open connections go on until then.",
        ),
    )


def _redis(state: State, _: datetime) -> Rotation:
    servers = (
        (
            "Put the new password where the former one stands in the copies of redis/redis.conf and redis/sentinel.conf that servers "
            "and Sentinels have changed, and restart them: Sentinels first, then replicas, then the primary."
        )
        if state.plan.sentinels
        else "Restart Redis: it reads redis/redis.conf. Meanwhile app-proxies enforce callers' limits each by itself."
    )
    return Rotation(
        state.model_copy(update={"passwords": {**state.passwords, "redis": new_password()}}),
        (
            servers,
            "Restart the app-proxies and autoscalers: they read the new password from their settings.",
        ),
    )


def _certificates(state: State, now: datetime) -> Rotation:
    return Rotation(
        state.model_copy(update={"certificates": server_certificates(state.plan, state.authorities[0], now)}),
        (
            certificate_step(state.plan.layout),
            *cluster_copies(state.plan, *_NATS_CERTIFICATE),
            "Let NATS (SIGHUP) and PostgreSQL (SELECT pg_reload_conf()) read theirs, and restart Redis.",
        ),
    )


def authority_step(state: State) -> str | None:
    """Return how far a rotation of the authority is, and what comes next; None if none is under way."""
    if state.next_authority_waits:
        return "step 1 of 3: tls/ca.crt has the next authority too, which signs nothing yet; next: --rotate ca-issue"
    if len(state.authorities) > 1:
        return "step 2 of 3: the new authority signs, the former one is still trusted; next: --rotate ca-finish"
    return None


def _next_authority(state: State, now: datetime) -> Rotation:
    """Have a next authority trusted; it signs nothing before all clients have it."""
    if len(state.authorities) > 1 and not state.next_authority_waits:
        raise InstallError("--rotate ca: found the rotation before it unfinished; allowed: --rotate ca-finish first")
    if not state.next_authority_waits:
        authorities = (state.authorities[0], new_authority(state.plan.api.host, now))
        state = state.model_copy(update={"authorities": authorities, "next_authority_waits": True})
    return Rotation(
        state,
        (
            "Copy tls/ca.crt, which has the authority and the next one, to all machines and to those who use the API (headrace login --ca).",
            (
                "Restart the managers, app-proxies, autoscalers and agents, and of a NATS cluster each server: they trust both then. "
                "Certificates are as before."
            ),
            "When all of them have it: headrace init DIR --rotate ca-issue",
        ),
    )


def _issue(state: State, now: datetime) -> Rotation:
    """Sign all servers' certificates by the next authority, and keep the former one trusted."""
    if len(state.authorities) == 1:
        raise InstallError("--rotate ca-issue: found no next authority; allowed: --rotate ca first")
    if state.next_authority_waits:
        former, authority = state.authorities
        state = state.model_copy(
            update={
                "authorities": (authority, former),
                "next_authority_waits": False,
                "certificates": server_certificates(state.plan, authority, now),
            }
        )
    return Rotation(
        state,
        (
            certificate_step(state.plan.layout),
            *cluster_copies(state.plan, *_NATS_CERTIFICATE),
            "Let NATS (SIGHUP) and PostgreSQL (SELECT pg_reload_conf()) read their certificates, and restart Redis.",
            "When all servers use them: headrace init DIR --rotate ca-finish",
        ),
    )


def _finish(state: State, _: datetime) -> Rotation:
    """Trust the former authority no longer."""
    if state.next_authority_waits:
        raise InstallError(
            "--rotate ca-finish: found certificates of the former authority; allowed: --rotate ca-issue first"
        )
    if len(state.authorities) == 1:
        raise InstallError("--rotate ca-finish: found no rotation of the authority; allowed: --rotate ca first")
    return Rotation(
        state.model_copy(update={"authorities": state.authorities[:1]}),
        (
            "Copy tls/ca.crt to all machines and to those who use the API: it has the new authority only.",
            (
                "Restart the managers, app-proxies, autoscalers and agents, and of a NATS cluster each server: from then on they refuse the "
                "former authority."
            ),
        ),
    )


def _signing(state: State, now: datetime) -> Rotation:
    """Replace the keys that managers sign with, and their identity in the system account; what they signed is refused then."""
    moment = int(now.timestamp())
    edge = state.accounts["EDGE"]
    newer = edge.model_copy(update={"signing": new_seed("account"), "issued_at": max(moment, edge.issued_at + 1)})
    replaced = state.model_copy(
        update={
            "operator_signing": new_seed("operator"),
            "operator_issued_at": max(moment, state.operator_issued_at + 1),
            "accounts": {**state.accounts, "EDGE": newer},
        }
    )
    rotation = _bus(replaced, CLAIMS_USER, now)
    names = ", ".join(f"bus/{user.name}.creds" for user in bus_users(state.plan) if user.kind is not UserKind.MANAGER)
    return Rotation(
        rotation.state,
        (
            f"Copy {names} to where the services read them: they log in with them from their next connect on.",
            "Copy bus/signing.json to where the managers read it, and not to one that was compromised.",
            *cluster_copies(state.plan, _NATS_CONFIGURATION),
            (
                "Stop NATS (all servers of a cluster), remove its folder of accounts' claims (accounts below its store_dir), and start it "
                "with its new configuration: it refuses what the former keys signed."
            ),
            "Join anew who joined before, each with a new join token, after headrace identity revoke NAME.",
        ),
    )


def _bus(state: State, name: str, now: datetime) -> Rotation:
    """Replace a user's key, and revoke the one before it."""
    account, moment = account_of(state, name), int(now.timestamp())
    seeds = state.accounts[account]
    if len(seeds.revoked) >= MAX_REVOKED:
        raise InstallError(
            f"--rotate {BUS}{name}: found {len(seeds.revoked)} revoked identities; allowed: {MAX_REVOKED}"
        )
    before = state.identities[name]
    revoked = {**seeds.revoked, public_key(before.seed): moment}
    newer = seeds.model_copy(update={"revoked": revoked, "issued_at": max(moment, seeds.issued_at + 1)})
    return Rotation(
        state.model_copy(
            update={
                "accounts": {**state.accounts, account: newer},
                "identities": {**state.identities, name: new_identity(now)},
            }
        ),
        _steps_of(name, account, state.plan),
    )


def _steps_of(name: str, account: str, plan: Plan) -> tuple[str, ...]:
    service = next((user.kind for user in bus_users(plan) if user.name == name), UserKind.MANAGER)
    copied = identity_step(name, service, plan.layout)
    if account == "EDGE":
        return (
            copied,
            f"{signing_step(plan.layout)}. They have NATS refuse the former identity.",
        )
    signing = f"{signing_step(plan.layout)}."
    return (
        signing if name == CLAIMS_USER else copied,
        *cluster_copies(plan, _NATS_CONFIGURATION),
        (
            "Restart NATS (of a cluster one server after another), which reads its configuration: the former identity is refused from then on. "
            "Services reconnect by themselves."
        ),
    )


def _scrape_key(state: State, _: datetime) -> Rotation:
    return Rotation(
        state.model_copy(update={"scrape_key": new_scrape_key()}),
        (
            "Give Prometheus the new prometheus/scrape.key: it reads the file at each look; until then it keeps its targets.",
            managers_step(state.plan.layout),
        ),
    )


def secrets_key_step(state: State) -> str | None:
    """Return how far a rotation of the secrets' key is, and what comes next; None if none is under way."""
    if len(state.secrets_keys) < 2:
        return None
    if state.next_secrets_key_waits:
        return "step 1 of 3: managers can read by the next key of secrets, which encrypts nothing yet; next: --rotate secrets-key-use"
    return "step 2 of 3: managers encrypt by the new key of secrets, and can still read by the former one; next: --rotate secrets-key-finish"


def _next_secrets_key(state: State, _: datetime) -> Rotation:
    """Have managers know a next key of secrets; it encrypts nothing before all of them have it."""
    keys = state.secrets_keys or (SECRET_KEY_ID,)
    if len(keys) > 1 and not state.next_secrets_key_waits:
        raise InstallError(
            "--rotate secrets-key: found the rotation before it unfinished; allowed: --rotate secrets-key-finish first"
        )
    if not state.next_secrets_key_waits:
        update = {"secrets_keys": (*keys, new_secrets_key()), "next_secrets_key_waits": True}
        state = state.model_copy(update=update)
    restart = managers_step(state.plan.layout)
    return Rotation(state, (restart, "When all of them have: headrace init DIR --rotate secrets-key-use"))


def _use_secrets_key(state: State, _: datetime) -> Rotation:
    """Have managers encrypt by the next key, and what the former one encrypted anew."""
    if len(state.secrets_keys) < 2:
        raise InstallError("--rotate secrets-key-use: found no next key; allowed: --rotate secrets-key first")
    if state.next_secrets_key_waits:
        former, key = state.secrets_keys
        state = state.model_copy(update={"secrets_keys": (key, former), "next_secrets_key_waits": False})
    key_id = state.secrets_keys[0].partition(":")[0]
    return Rotation(
        state,
        (
            managers_step(state.plan.layout),
            (
                f"They encrypt what is stored anew with the key {key_id}, within minutes of the last restart: `headrace audit --action "
                "secrets.rewrapped` shows it, where there are secrets."
            ),
            "Then: headrace init DIR --rotate secrets-key-finish",
        ),
    )


def _finish_secrets_key(state: State, _: datetime) -> Rotation:
    """Forget the former key of secrets."""
    if state.next_secrets_key_waits:
        raise InstallError(
            "--rotate secrets-key-finish: found the next key unused; allowed: --rotate secrets-key-use first"
        )
    if len(state.secrets_keys) < 2:
        raise InstallError(
            "--rotate secrets-key-finish: found no rotation of the key; allowed: --rotate secrets-key first"
        )
    return Rotation(
        state.model_copy(update={"secrets_keys": state.secrets_keys[:1]}),
        (
            managers_step(state.plan.layout),
            "Make a backup: those made before can be restored by the keys that are in them.",
        ),
    )


_ROTATIONS: Final[dict[str, Callable[[State, datetime], Rotation]]] = {
    "database-password": _database,
    "redis-password": _redis,
    "scrape-key": _scrape_key,
    "certificates": _certificates,
    "ca": _next_authority,
    "ca-issue": _issue,
    "ca-finish": _finish,
    "bus-signing": _signing,
    "secrets-key": _next_secrets_key,
    "secrets-key-use": _use_secrets_key,
    "secrets-key-finish": _finish_secrets_key,
}
