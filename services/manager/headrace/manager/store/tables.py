"""Queries: rows from which plans, route tables and rule tables are built.

Tables are built in generation 1, which stands for one that is not assigned yet; the publisher assigns it.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from headrace.common.bus.plan_encryption import encrypt, recipient
from headrace.common.contracts.ids import AgentId, ProjectId
from headrace.common.contracts.messages.envelope import in_generation
from headrace.common.contracts.messages.plans import NodePlan, PlannedKernel, RegistryLogin, ReplicaSpec
from headrace.common.contracts.messages.routes import RouteTable, TokenKey
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS
from headrace.manager.domain.machine_removal import in_words
from headrace.manager.domain.secret_pins import registry_login
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store import secrets, traffic

SQL = Queries.beside(__file__)
T = TypeVar("T", NodePlan, RouteTable, RuleTable)
_SPECS_KEPT = 500
_BEFORE_ALL = UUID(int=0)
_BEFORE_SPECS = '"generation":1,'
"""Marker at the front of an encoded plan, right before its specs and kernels."""
_KERNELS = TypeAdapter(tuple[PlannedKernel, ...])
"""Codec of a plan's kernels as one list: the plan's own field may hold either kind, and tries both for each."""


@dataclass(frozen=True)
class PendingPublication(Generic[T]):
    """A table to be built from its rows.

    `build` raises ValueError or TypeError for invalid rows, so that they fail this table only.
    """

    subject: str
    key: str
    """Id of the machine or service."""
    unmarked: bool
    """Whether rows wait for mark()."""
    build: Callable[[], T]
    floor: int = 0
    """Generation that a reader has: the next one must be higher."""
    encode: Callable[[T], bytes] | None = None
    """Encoder of the table; None: `Message.encode`, whose result it must equal."""
    hidden_bytes: int = 0
    """What `encrypt` adds to what `encode` returns, which has no secrets: it is compared and digested."""
    reader_key: str | None = None
    """Key of the reader, to which `encrypt` encrypts; another one makes another publication."""
    encrypt: Callable[[T, int], bytes] | None = field(default=None, repr=False)
    """Encoder of the table in a generation for a reader with a key, in place of `encode`; each call makes other bytes."""


class Plans:
    """Source of machines' plans."""

    kind, prefix, told = "plan", NodePlan.prefix(), False

    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys
        self._specs: OrderedDict[UUID, _Spec] = OrderedDict()
        """Cache of revisions' specs, which never change; the last used ones."""

    async def keys(self, con: Connection, after: str, most: int) -> list[str]:
        """Return the next machine ids in order."""
        return [row["id"] for row in await con.fetch(SQL.machines, after, most)]

    async def read(self, con: Connection, keys: Sequence[str]) -> list[PendingPublication[NodePlan]]:
        """Return the plan of each of these machines."""
        rows = await con.fetch(SQL.planned, keys)
        specs = await self._of(con, rows)
        unpublished = []
        for agent_id, group in groupby(rows, key=lambda row: row["agent_id"]):
            facts = tuple(group)
            first = facts[0]
            key: str | None = first["plan_key"]
            used = {name for row in facts if (name := _key_of(row)) is not None}
            own = {name: spec for name in used if isinstance(spec := specs[name], _Spec)}
            texts = {name: spec.json for name, spec in own.items()}
            whole = {name: spec.with_secrets for name, spec in own.items()}
            unpublished.append(
                PendingPublication(
                    f"{self.prefix}{agent_id}",
                    agent_id,
                    first["unmarked"],
                    partial(_plan, agent_id, facts, specs),
                    floor=first["applied_generation"],
                    encode=partial(_encoded, texts),
                    hidden_bytes=sum(len(whole[name]) - len(texts[name]) for name in own),
                    reader_key=key,
                    encrypt=None if key is None else partial(_encrypted, whole, key),
                )
            )
        if len(unpublished) == len(set(keys)):
            return unpublished
        return [*unpublished, *(self._removal(row) for row in await con.fetch(SQL.removed, keys))]

    def _removal(self, row: Any) -> PendingPublication[NodePlan]:
        """Return the last plan of a machine that was removed."""
        build = partial(_no_plan, row["id"], in_words(row["removed_by"], row["removed_at"], row["reason"]))
        return PendingPublication(f"{self.prefix}{row['id']}", row["id"], False, build, row["applied_generation"])

    async def _of(self, con: Connection, rows: Sequence[Any]) -> dict[str, _Spec | ValueError]:
        """Return the spec of each revision and trial run of the rows, by its key in plans; or the error of reading it."""
        revisions = {row["revision_id"] for row in rows if row["revision_id"] is not None}
        found: dict[str, _Spec | ValueError] = {}
        missing = []
        for revision in revisions:
            if revision in self._specs:
                self._specs.move_to_end(revision)
                found[str(revision)] = self._specs[revision]
            else:
                missing.append(revision)
        stored = {row["id"]: row["resolved"] for row in (await con.fetch(SQL.resolved, missing) if missing else ())}
        trials = {row["session_id"]: row["resolved"] for row in rows if row["session_id"] and not row["revision_id"]}
        read = await self._read(con, {**stored, **trials})
        found |= {str(key): spec for key, spec in read.items()}
        self._specs.update({key: spec for key in stored if isinstance(spec := read[key], _Spec)})
        while len(self._specs) > _SPECS_KEPT:
            self._specs.popitem(last=False)
        return found

    async def _read(self, con: Connection, stored: Mapping[UUID, Any]) -> dict[UUID, _Spec | ValueError]:
        """Return the specs with their secrets. One that cannot be read costs the machines that run it, and not those read with them."""
        found: dict[UUID, _Spec | ValueError] = {}
        resolved: dict[UUID, ResolvedSpec] = {}
        for key, document in stored.items():
            try:
                resolved[key] = ResolvedSpec.model_validate(document)
            except ValueError as error:
                found[key] = error
        sealed = await secrets.sealed(con, {key for spec in resolved.values() for key in _versions(spec)})
        for key, spec in resolved.items():
            try:
                values = {(id_, at): self._keys.open(sealed[id_, at], id_, at) for id_, at in _versions(spec)}
                found[key] = _Spec.of(spec, values)
            except KeyError:
                found[key] = ValueError("a secret that it was made with is gone")
            except Problem as problem:
                found[key] = ValueError(problem.detail)
            except ValueError as error:
                found[key] = error
        return found

    async def mark(self, con: Connection, plans: Sequence[NodePlan]) -> None:
        """Store on removed kernels the first generation of the plan without them."""
        if not plans:
            return
        there = [kernel.kernel_id for plan in plans for kernel in plan.kernels]
        generations = [plan.generation for plan in plans]
        await con.execute(SQL.mark_left, [plan.agent_id for plan in plans], generations, there)


@dataclass(frozen=True, slots=True)
class _Spec:
    """A revision's part of a plan, with its JSON, encoded once."""

    spec: ReplicaSpec
    """Without secrets."""
    json: str
    with_secrets: str = field(repr=False)
    """Its JSON with the values of its secrets: only to be encrypted."""
    secret: bool

    @classmethod
    def of(cls, resolved: ResolvedSpec, values: Mapping[secrets.VersionKey, str]) -> _Spec:
        """Return the part of a plan that a resolved spec is. Raises ValueError."""
        spec = ReplicaSpec(
            **{name: getattr(resolved, name) for name in ReplicaSpec.model_fields if hasattr(resolved, name)}
        )
        text = spec.model_dump_json()
        if not _versions(resolved):
            return cls(spec, text, text, secret=False)
        environ, login = dict(spec.environ), None
        for pin in resolved.secrets:
            if pin.use == "variable":
                environ[pin.variable] = values[pin.secret_id, pin.version]
            elif pin.use == "registry":
                login = _login(pin, values[pin.secret_id, pin.version])
        whole = spec.model_copy(update={"environ": environ, "registry_login": login})
        return cls(spec, text, whole.model_dump_json(), secret=True)


def _versions(resolved: ResolvedSpec) -> set[secrets.VersionKey]:
    """Return the secrets that a replica's machine gets: not that of the model, which managers fetch."""
    return {(pin.secret_id, pin.version) for pin in resolved.secrets if pin.use != "model"}


def _login(pin: PinnedSecret, value: str) -> RegistryLogin:
    found = registry_login(value)
    if found is None:
        raise ValueError(f"secret {pin.name} is no login of a registry")
    return RegistryLogin(user=found[0], password=found[1])


def _key_of(row: Any) -> str | None:
    """Return the key of the kernel's spec in its plan; None for a machine without kernels."""
    return None if row["kernel_id"] is None else str(row["revision_id"] or row["session_id"])


def _encoded(known: Mapping[str, str], plan: NodePlan) -> bytes:
    """Return `plan.encode()`; `known`: the JSON of specs, which are not encoded again."""
    kernels = _KERNELS.dump_json(plan.kernels).decode()  # type: ignore[arg-type]  # `_plan` makes no others
    head, tail = plan.model_dump_json(exclude={"specs", "kernels"}).split(_BEFORE_SPECS, 1)
    return f'{head}{_BEFORE_SPECS}"specs":{_specs(known, plan)},"kernels":{kernels},{tail}'.encode()


def _encrypted(known: Mapping[str, str], key: str, plan: NodePlan, generation: int) -> bytes:
    """Return the plan in this generation with its specs encrypted to its agent's key; `known`: their JSON, with secrets."""
    if not plan.specs:
        return in_generation(_encoded(known, plan), generation)
    data = _specs(known, plan).encode()
    text = encrypt(data, recipient(key), agent_id=plan.agent_id, generation=generation)
    return in_generation(_encoded({}, plan.model_copy(update={"specs": {}, "encrypted_specs": text})), generation)


def _specs(known: Mapping[str, str], plan: NodePlan) -> str:
    return "{" + ",".join(f'"{key}":{known[key]}' for key in plan.specs) + "}"


def _no_plan(agent_id: str, why: str) -> NodePlan:
    return NodePlan(agent_id=AgentId(agent_id), generation=1, kernels=(), removed=why)


def _plan(agent_id: str, rows: tuple[Any, ...], specs: Mapping[str, _Spec | ValueError]) -> NodePlan:
    if rows[0]["plan_key"] is not None:
        recipient(rows[0]["plan_key"])
    kernels, used = [], dict[str, ReplicaSpec]()
    for row in rows:
        key = _key_of(row)
        if key is None:
            continue
        used[key] = _readable(specs[key], encrypted=row["plan_key"] is not None)
        gpus = [{"gpu_id": gpu, "share": share} for gpu, share in zip(row["devices"], row["shares"], strict=True)]
        kernels.append({**row, "gpus": gpus, "spec": key})
    watched = {row["service_id"]: tuple(row["watched"]) for row in rows if row["watched"] is not None}
    return NodePlan(
        agent_id=AgentId(agent_id),
        generation=1,
        specs=used,
        kernels=_KERNELS.validate_python(kernels),
        watched=dict(sorted(watched.items())),
    )


def _readable(found: _Spec | ValueError, *, encrypted: bool) -> ReplicaSpec:
    if isinstance(found, ValueError):
        raise found
    if found.secret and not encrypted:
        raise ValueError(
            "it has secrets, and its agent reports no key to which they can be encrypted; upgrade the agent"
        )
    return found.spec


class Routes:
    """Source of services' route tables; that of a deleted service is `removed`."""

    kind, prefix, told = "route", RouteTable.prefix(), True

    async def keys(self, con: Connection, after: str, most: int) -> list[str]:
        """Return the next service ids in order."""
        return [row["id"] for row in await con.fetch(SQL.services, after or _BEFORE_ALL, most)]

    async def read(self, con: Connection, keys: Sequence[str]) -> list[PendingPublication[RouteTable]]:
        """Return the table of each of these services."""
        signing = tuple(
            TokenKey(kid=row["kid"], public_key=urlsafe_b64encode(row["public_key"]).rstrip(b"=").decode())
            for row in await con.fetch(SQL.signing_keys)
        )
        rows = await con.fetch(SQL.routed, keys, MAX_FAILED_STARTS)
        return [
            *(_pending(self.prefix, row, partial(_route_table, row, signing)) for row in rows),
            *(
                _pending(self.prefix, row, partial(_no_routes, row))
                for row in await _unknown(con, self.prefix, keys, rows)
            ),
        ]

    async def mark(self, con: Connection, tables: Sequence[RouteTable]) -> None:
        """Store on draining sessions the first generation of the table with the drain."""
        if not tables:
            return
        active = [route.session_id for table in tables for route in table.routes if route.state == "active"]
        generations = [table.generation for table in tables]
        await con.execute(SQL.mark_drained_from, [table.service_id for table in tables], generations, active)


async def _unknown(con: Connection, prefix: str, keys: Sequence[str], found: Sequence[Any]) -> list[Any]:
    """Return a row for each of these services that is unknown here although its table was published."""
    return await con.fetch(SQL.unknown, keys, prefix) if len(found) < len(keys) else []


def _no_routes(row: Any) -> RouteTable:
    """Return the removal of an unknown service's route table, whose name is lost."""
    return RouteTable(
        service_id=row["service_id"], generation=1, removed=True, name="removed", project_id=ProjectId(UUID(int=0))
    )


def _no_rules(row: Any) -> RuleTable:
    return RuleTable(service_id=row["service_id"], generation=1, removed=True)


def _pending(prefix: str, row: Any, build: Callable[[], T]) -> PendingPublication[T]:
    key = str(row["service_id"])
    return PendingPublication(prefix + key, key, row["unmarked"], build)


def _route_table(row: Any, keys: tuple[TokenKey, ...]) -> RouteTable:
    facts = {
        "service_id": row["service_id"],
        "generation": 1,
        "name": row["name"],
        "project_id": row["project_id"],
        "project": row["project"],
    }
    if row["removed"]:
        return RouteTable.model_validate({**facts, "removed": True})
    wanted = row["wanted"] if row["goal"] == "running" else 0
    return RouteTable.model_validate(
        {
            **facts,
            "open_to_public": row["open_to_public"],
            "token_keys": keys,
            "revocations": row["revocations"],
            "wanted": wanted,
            "stopped": row["goal"] == "stopped",
            "gave_up": row["gave_up"],
            "routes": row["routes"],
            "port": row["endpoint_port"],
            "clients": row["clients"],
            "token_limits": row["token_limits"],
            **traffic.stored(row),
        }
    )


class Rules:
    """Source of services' rule tables; that of a service without rules is `removed`."""

    kind, prefix, told = "rules", RuleTable.prefix(), True

    async def keys(self, con: Connection, after: str, most: int) -> list[str]:
        """Return the next service ids in order."""
        return [row["id"] for row in await con.fetch(SQL.ruled_services, after or _BEFORE_ALL, most)]

    async def read(self, con: Connection, keys: Sequence[str]) -> list[PendingPublication[RuleTable]]:
        """Return the table of each of these services."""
        rows = await con.fetch(SQL.ruled, keys)
        return [
            *(_pending(self.prefix, row, partial(_rule_table, row)) for row in rows),
            *(
                _pending(self.prefix, row, partial(_no_rules, row))
                for row in await _unknown(con, self.prefix, keys, rows)
            ),
        ]

    async def mark(self, con: Connection, tables: Sequence[RuleTable]) -> None:
        """Store nothing: no row waits for a rule table."""


def _rule_table(row: Any) -> RuleTable:
    return RuleTable.model_validate(
        {
            "service_id": row["service_id"],
            "generation": 1,
            "removed": row["removed"] or not row["rules"],
            "wanted": row["wanted"],
            "active": row["goal"] == "running",
            "replicas": row["replicas"],
            "rules": row["rules"],
        }
    )
