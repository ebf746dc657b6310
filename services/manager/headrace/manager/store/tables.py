"""Reading what plans, route tables and rule tables are made of. Generation 1 stands for 'not given yet'."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import Any, Generic, TypeVar
from uuid import UUID

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.plans import GpuGrant, KernelSpec, NodePlan
from headrace.common.contracts.messages.routes import RouteTable, TokenKey
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.resolved import ResolvedSpec
from headrace.manager.store import traffic

SQL = Queries.beside(__file__)
T = TypeVar("T", NodePlan, RouteTable, RuleTable)


@dataclass(frozen=True)
class Draft(Generic[T]):
    """A table that has not been made yet, since most are as they were."""

    subject: str
    key: Any
    """What the reading functions take to read this one again."""
    facts: object
    """What it is made of: equal facts make equal tables."""
    unmarked: bool
    """Whether rows wait for the mark that a publication makes."""
    build: Callable[[], T]


async def plans(con: Connection, only: Sequence[str] | None = None) -> list[Draft[NodePlan]]:
    """Return the plan of each machine."""
    rows = await con.fetch(SQL.planned, only)
    drafts = []
    for agent_id, group in groupby(rows, key=lambda row: row["agent_id"]):
        facts = tuple(group)
        subject = NodePlan.subject.format(agent_id=agent_id)
        drafts.append(Draft(subject, agent_id, facts, facts[0]["unmarked"], partial(_plan, agent_id, facts)))
    return drafts


def _plan(agent_id: str, rows: tuple[Any, ...]) -> NodePlan:
    kernels = tuple(_kernel(row) for row in rows if row["kernel_id"] is not None)
    return NodePlan(agent_id=AgentId(agent_id), generation=1, kernels=kernels)


def _kernel(row: Any) -> KernelSpec:
    spec = ResolvedSpec.model_validate(row["resolved"])
    return KernelSpec(
        kernel_id=row["kernel_id"], session_id=row["session_id"], service_id=row["service_id"], revision_id=row["revision_id"],
        project_id=row["project_id"], kind=row["kind"], role=row["role"], rank=row["rank"], name=row["name"], image=spec.image,
        command=spec.command, port=spec.port, model_path=spec.model_path, health_check=spec.health_check,
        pre_start_actions=spec.pre_start_actions, environ=spec.environ, slots=spec.slots, mounts=spec.mounts,
        gpus=tuple(GpuGrant(gpu_id=device, share=Decimal(amount)) for device, amount in row["gpus"]),
    )  # fmt: skip


async def mark_left(con: Connection, plan: NodePlan) -> None:
    """Note on kernels that left the plan which generation lacks them first."""
    await con.execute(SQL.mark_left, plan.agent_id, plan.generation, [kernel.kernel_id for kernel in plan.kernels])


async def routes(con: Connection, only: Sequence[UUID] | None = None) -> list[Draft[RouteTable]]:
    """Return the route table of each service; a deleted one is `removed`."""
    keys = tuple(
        TokenKey(kid=row["kid"], public_key=urlsafe_b64encode(row["public_key"]).rstrip(b"=").decode())
        for row in await con.fetch(SQL.signing_keys)
    )
    return [
        _draft(RouteTable, row, (keys, row), partial(_route_table, row, keys))
        for row in await con.fetch(SQL.routed, only)
    ]


def _draft(kind: type[T], row: Any, facts: object, build: Callable[[], T]) -> Draft[T]:
    subject = kind.subject.format(service_id=row["service_id"])
    return Draft(subject, row["service_id"], facts, row["unmarked"], build)


def _route_table(row: Any, keys: tuple[TokenKey, ...]) -> RouteTable:
    facts = {"service_id": row["service_id"], "generation": 1, "name": row["name"], "project_id": row["project_id"]}
    if row["removed"]:
        return RouteTable.model_validate({**facts, "removed": True})
    wanted = row["wanted"] if row["goal"] == "running" else 0
    return RouteTable.model_validate(
        {
            **facts, "open_to_public": row["open_to_public"], "token_keys": keys, "revocations": row["revocations"], "wanted": wanted,
            "routes": row["routes"], "port": row["endpoint_port"], "clients": row["clients"], "token_limits": row["token_limits"],
            **traffic.stored(row),
        }
    )  # fmt: skip


async def mark_drained_from(con: Connection, table: RouteTable) -> None:
    """Note on draining sessions which generation tells the app-proxies so first."""
    active = [route.session_id for route in table.routes if route.state == "active"]
    await con.execute(SQL.mark_drained_from, table.service_id, table.generation, active)


async def rules(con: Connection, only: Sequence[UUID] | None = None) -> list[Draft[RuleTable]]:
    """Return the rule table of each service that has rules, and a tombstone for each that had some."""
    return [_draft(RuleTable, row, row, partial(_rule_table, row)) for row in await con.fetch(SQL.ruled, only)]


def _rule_table(row: Any) -> RuleTable:
    return RuleTable.model_validate(
        {
            "service_id": row["service_id"], "generation": 1, "removed": row["removed"] or not row["rules"], "wanted": row["wanted"],
            "active": row["goal"] == "running", "replicas": row["replicas"], "rules": row["rules"],
        }
    )  # fmt: skip
