"""The NATS server's configuration (operator mode), and the credentials of its users."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.common.bus.credentials import credentials_file
from headrace.common.bus.identities import (
    AccountKeys,
    account_token,
    operator_token,
    public_key,
    system_user_token,
    user_token,
)
from headrace.common.bus.permissions import EDGE_ACCOUNT, STORE_ACCOUNT, UserKind
from headrace.common.bus.signing import CLAIMS_USER, BusSigning, InstalledUser
from headrace.common.contracts.vocabulary import JoinKind
from headrace.install.plan import NatsServer
from headrace.install.state import SYSTEM_USER, State, bus_users

_JOIN_KINDS: Mapping[UserKind, JoinKind] = {
    UserKind.AGENT: "agent",
    UserKind.APPPROXY: "proxy",
    UserKind.AUTOSCALER: "autoscaler",
}
_SHARES = {"HEADRACE": STORE_ACCOUNT, "EDGE": EDGE_ACCOUNT}


@dataclass(frozen=True, slots=True)
class NatsFiles:
    """Where a server finds its files and keeps its data."""

    store: str
    certificate: str
    key: str
    authorities: str


def nats_config(
    state: State,
    *,
    listen: str,
    files: NatsFiles,
    health_port: int | None = None,
    member: NatsServer | None = None,
    routes: str = "",
) -> str:
    """Return the server's configuration. It holds no secret. `health_port`: loopback port of `/healthz`, for containers.

    `member`: which server of the cluster it is, and `routes`, where it listens for the others.
    Accounts' claims are stored by the server in `<store>/accounts`, where newer ones replace these (`$SYS.REQ.CLAIMS.UPDATE`).
    """
    tokens = _account_tokens(state)
    system = public_key(state.accounts["SYS"].identity)
    operator = operator_token(
        state.operator,
        name="headrace",
        system_account=system,
        issued_at=state.operator_issued_at,
        signing_keys=[public_key(state.operator_signing)] if state.operator_signing else (),
    )
    identified = f"cert_file: {_quoted(files.certificate)}, key_file: {_quoted(files.key)}"
    return "\n".join(
        (
            f"listen: {_quoted(listen)}",
            f"server_name: {_quoted(member.name if member else 'headrace-1')}",
            *([] if health_port is None else [f'http: "127.0.0.1:{health_port}"  # /healthz']),
            "max_payload: 8MB  # a machine's whole plan is one message",
            f"tls {{ {identified} }}",
            *([] if member is None else _cluster(state, member, routes, identified, files.authorities)),
            "jetstream {",
            f"  store_dir: {_quoted(files.store)}",
            "  sync_interval: 2s  # a power cut may lose newer messages; managers detect that and publish them again",
            "}",
            f"operator: {operator}",
            f"system_account: {system}",
            "resolver {",
            "  type: full",
            f"  dir: {_quoted(f'{files.store}/accounts')}",
            "  allow_delete: false",
            '  interval: "2m"',
            "}",
            "resolver_preload {",
            *(f"  {public_key(state.accounts[name].identity)}: {token}  # {name}" for name, token in tokens.items()),
            "}",
            "",
        )
    )


def _cluster(state: State, member: NatsServer, listen: str, identified: str, authorities: str) -> Iterator[str]:
    """Return how it meets the others: each shows a certificate for the address at which it is reached."""
    yield "cluster {"
    yield '  name: "headrace"'
    yield f"  listen: {_quoted(listen)}"
    yield f"  advertise: {_quoted(str(member.routes))}"
    yield "  no_advertise: true  # clients keep to the addresses in their settings, which the certificates name"
    yield f"  tls {{ {identified}, ca_file: {_quoted(authorities)}, verify: true, timeout: 5 }}"
    yield "  routes: ["
    yield from (
        f"    {_quoted(f'tls://{server.routes}')}" for server in state.plan.nats_cluster if server.name != member.name
    )
    yield "  ]"
    yield "}"


def bus_credentials(state: State) -> dict[str, str]:
    """Return user → content of its credentials file."""
    edge, store = state.accounts["EDGE"], state.accounts["HEADRACE"]
    made = {}
    for user in bus_users(state.plan):
        account, identity = store if user.kind is UserKind.MANAGER else edge, state.identities[user.name]
        token = user_token(
            account.signing,
            user,
            account=public_key(account.identity),
            public=public_key(identity.seed),
            issued_at=identity.issued_at,
        )
        made[user.name] = credentials_file(token, identity.seed)
    return {**made, SYSTEM_USER: _system_credentials(state, SYSTEM_USER)}


def bus_signing(state: State) -> BusSigning:
    """Return what managers sign machines' identities with, and take them back with. Secret."""
    edge = state.accounts["EDGE"]
    users = {user.name: user.kind for user in bus_users(state.plan)}
    return BusSigning(
        account=public_key(edge.identity),
        account_claims=_account_tokens(state)["EDGE"],
        account_signing=edge.signing,
        operator_signing=state.operator_signing,
        system_credentials=_system_credentials(state, CLAIMS_USER),
        users={
            name: InstalledUser(kind=_JOIN_KINDS[kind], public_key=public_key(state.identities[name].seed))
            for name, kind in users.items()
            if kind in _JOIN_KINDS
        },
        reserved=(SYSTEM_USER, CLAIMS_USER, *(name for name, kind in users.items() if kind is UserKind.MANAGER)),
    )


def _system_credentials(state: State, user: str) -> str:
    system, identity = state.accounts["SYS"], state.identities[user]
    token = system_user_token(
        system.signing,
        name=user,
        account=public_key(system.identity),
        public=public_key(identity.seed),
        issued_at=identity.issued_at,
        claims_only=user == CLAIMS_USER,
    )
    return credentials_file(token, identity.seed)


def account_of(state: State, user: str) -> str:
    """Return the name of the account of a user of the bus."""
    if user in {SYSTEM_USER, CLAIMS_USER}:
        return "SYS"
    kinds = {one.name: one.kind for one in bus_users(state.plan)}
    return "HEADRACE" if kinds[user] is UserKind.MANAGER else "EDGE"


def _account_tokens(state: State) -> Mapping[str, str]:
    accounts = {name: public_key(seeds.identity) for name, seeds in state.accounts.items()}
    return {
        name: account_token(
            state.operator,
            name=name,
            keys=AccountKeys(accounts[name], public_key(seeds.signing)),
            issued_at=seeds.issued_at,
            shares=_SHARES.get(name),
            accounts=accounts,
            jetstream=name == "HEADRACE",
            revoked=seeds.revoked,
        )
        for name, seeds in state.accounts.items()
    }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # NATS' strings have the same escapes
