"""What was generated for an installation, in one private file: everything else in the folder follows from it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.common.bus.identities import KeyKind, new_seed
from headrace.common.bus.permissions import BusUser, UserKind
from headrace.common.bus.signing import CLAIMS_USER
from headrace.common.contracts.ids import KeyId, new_uuid
from headrace.common.contracts.keyform import API_KEY
from headrace.install.certificates import KeyPair, new_authority, new_certificate
from headrace.install.plan import Layout, Plan

PASSWORDS: Final = ("database", "redis", "grafana")
ACCOUNTS: Final = ("HEADRACE", "EDGE", "SYS")
SYSTEM_USER: Final = "system"


class AccountSeeds(BaseModel):
    """Seeds of a NATS account: its identity, and the key that signs its users."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    identity: str = Field(repr=False)
    signing: str = Field(repr=False)
    issued_at: int
    revoked: Mapping[str, int] = {}
    """Public key of a user → moment until which its credentials are refused."""


class Identity(BaseModel):
    """User of the bus: its seed, and when its claims were signed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: str = Field(repr=False)
    issued_at: int


class State(BaseModel):
    """Everything that was generated. Secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    v: Literal[1] = 1
    made_at: datetime
    plan: Plan
    passwords: Mapping[str, str] = Field(repr=False)
    secret_key: str = Field(repr=False)
    """The managers' key, hexadecimal."""
    secrets_keys: tuple[str, ...] = Field(default=(), repr=False)
    """The managers' keys of secrets, as their setting `secrets_keys` has them; empty until the first rotation."""
    next_secrets_key_waits: bool = False
    """The last of them is the next one, which encrypts nothing yet."""
    admin_key: str = Field(repr=False)
    """API key of the first operator."""
    scrape_key: str = Field(default="", repr=False)
    """Credential of Prometheus for scrape targets. Empty: a folder of an earlier version, which gets one."""
    authorities: tuple[KeyPair, ...]
    """The signing authority, and during a rotation a second one, which is trusted too: the next, or the former."""
    next_authority_waits: bool = False
    """The second authority is the next one, which signs nothing yet."""
    certificates: Mapping[str, KeyPair]
    operator: str = Field(repr=False)
    operator_issued_at: int
    operator_signing: str = Field(default="", repr=False)
    """Seed of the key by which managers sign accounts' claims; empty in what former versions made."""
    accounts: Mapping[str, AccountSeeds]
    identities: Mapping[str, Identity]
    written: Mapping[str, str] = {}
    """File → SHA-256 of its content as it was last written: what differs was changed by somebody."""


def completed(plan: Plan, stored: State | None, now: datetime) -> State:
    """Return the state for this plan: what is stored, with what it lacks generated."""
    if stored is None:
        return _new(plan, now)
    certificates = {
        name: pair
        if (pair := stored.certificates.get(name)) is not None and pair.hosts == frozenset(hosts)
        else _certificate(plan, name, hosts, stored.authorities[0], now)
        for name, hosts in _hosts(plan).items()
    }
    return stored.model_copy(
        update={
            "plan": plan,
            "scrape_key": stored.scrape_key or new_scrape_key(),
            "passwords": {name: stored.passwords.get(name) or new_password() for name in PASSWORDS},
            "certificates": certificates,
            "operator_signing": stored.operator_signing or new_seed("operator"),
            "identities": _identities(plan, now, stored.identities),
        }
    )


def bus_users(plan: Plan) -> tuple[BusUser, ...]:
    """Return the users of the bus, without the system account's."""
    return (
        BusUser("manager", UserKind.MANAGER),
        BusUser("autoscaler", UserKind.AUTOSCALER),
        BusUser("proxy-1", UserKind.APPPROXY, "proxy-1"),
        *(BusUser(agent.name, UserKind.AGENT, agent.name) for agent in plan.agents),
    )


def new_password() -> str:
    """Generate a password of letters and digits, 160 random bits."""
    return "p" + secrets.token_hex(20)


def new_scrape_key() -> str:
    """Generate a credential for scrape targets, 256 random bits; the prefix is for secret scanners."""
    return f"hrs_{secrets.token_hex(32)}"


def new_identity(now: datetime) -> Identity:
    """Generate an identity of a bus user."""
    return Identity(seed=new_seed("user"), issued_at=int(now.timestamp()))


def server_certificates(plan: Plan, authority: KeyPair, now: datetime) -> dict[str, KeyPair]:
    """Generate the certificates of all servers."""
    return {name: _certificate(plan, name, hosts, authority, now) for name, hosts in _hosts(plan).items()}


def _certificate(plan: Plan, name: str, hosts: list[str], authority: KeyPair, now: datetime) -> KeyPair:
    """Generate a server's certificate; one of a cluster shows it to the others, who take nobody without one for a server."""
    return new_certificate(authority, hosts, now, client=any(server.name == name for server in plan.nats_cluster))


def _new(plan: Plan, now: datetime) -> State:
    authority = new_authority(plan.api.host, now)
    issued_at = int(now.timestamp())
    key, _ = API_KEY.new(KeyId(new_uuid()))
    kind: KeyKind = "account"
    return State(
        made_at=now,
        plan=plan,
        passwords={name: new_password() for name in PASSWORDS},
        secret_key=secrets.token_hex(32),
        admin_key=key,
        scrape_key=new_scrape_key(),
        authorities=(authority,),
        certificates=server_certificates(plan, authority, now),
        operator=new_seed("operator"),
        operator_issued_at=issued_at,
        operator_signing=new_seed("operator"),
        accounts={
            name: AccountSeeds(identity=new_seed(kind), signing=new_seed(kind), issued_at=issued_at)
            for name in ACCOUNTS
        },
        identities=_identities(plan, now, {}),
    )


def _identities(plan: Plan, now: datetime, known: Mapping[str, Identity]) -> dict[str, Identity]:
    names = [SYSTEM_USER, CLAIMS_USER, *(user.name for user in bus_users(plan))]
    return {**known, **{name: new_identity(now) for name in names if name not in known}}


def _hosts(plan: Plan) -> dict[str, list[str]]:
    """Return the servers that have a certificate, and the host names and addresses in each."""
    here = ["localhost", "127.0.0.1"]
    service = ["manager", "api"] if plan.layout is Layout.COMPOSE else []
    nats = {server.name: server.address.host for server in plan.nats_cluster} or {"nats": plan.nats.host}
    also = [plan.api.host, *plan.names, *here]
    return {
        "api": list(dict.fromkeys([plan.api.host, *service, *plan.names, *here])),
        **{name: list(dict.fromkeys([host, *also])) for name, host in nats.items()},
        "database": list(dict.fromkeys([plan.database.host, *here])),
        "redis": list(dict.fromkeys([plan.redis.host, *(one.host for one in plan.sentinels), *here])),
        **({"grafana": list(dict.fromkeys([plan.api.host, *plan.names, *here]))} if service else {}),
    }
