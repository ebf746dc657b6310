"""Bus permissions: who may publish and subscribe to what; the table behind every NATS configuration of Headrace.

Each service uses the least that its contracts need (docs/architecture.md, subjects), and an agent only its own
subjects. Streams are read by Direct Get, so no one but the manager needs the JetStream API.

There are two accounts. The streams are in the managers' (HEADRACE); agents, app-proxies and autoscalers are in EDGE, and what
passes between is listed here. A question from EDGE carries the subject that it wants the answer on, which its permissions say
nothing of; the server sends the answer into EDGE, where no subject is stored and no API answers. So nobody there can have a
stream, or a manager with its rights, write to `route.<id>` or `$JS.API.STREAM.DELETE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from headrace.common.bus.subjects import STREAMS, direct_get, stream_of
from headrace.common.contracts.messages.autoscalers import AutoscalerReport
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.folder_access import FolderAccessRequest
from headrace.common.contracts.messages.logs import LogChunk, LogsRequest
from headrace.common.contracts.messages.metrics import KernelMetrics, ProxyMetrics
from headrace.common.contracts.messages.own_ports import OwnPortRequest
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.reports import HeldReport, NodeReport, ProxyReport
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.messages.rulestates import RuleReport
from headrace.common.contracts.messages.scaling import ScaleRequest
from headrace.common.contracts.messages.traffic import TrafficWindow
from headrace.common.contracts.messages.usage import UsageBatch


class UserKind(StrEnum):
    """Role of a bus user."""

    MANAGER = "manager"
    AGENT = "agent"
    APPPROXY = "appproxy"
    AUTOSCALER = "autoscaler"


@dataclass(frozen=True, slots=True)
class BusUser:
    """NATS user. `id` is the agent's, proxy's or autoscaler's id; `*` stands for any proxy, and none for any autoscaler: those of
    one installation's files share a user."""

    name: str
    kind: UserKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Allow lists of subjects; everything else is denied."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    allow_responses: bool = False
    """May reply to each request that it received, on any reply subject."""


@dataclass(frozen=True, slots=True)
class AccountExport:
    """Subjects exported from one NATS account to the other: messages (`stream`) or requests with their replies
    (`service`).
    """

    kind: Literal["stream", "service"]
    subject: str
    many: bool = False
    """True if a request has several replies."""


@dataclass(frozen=True, slots=True)
class Account:
    """Exports and imports of one NATS account."""

    other: str
    exports: tuple[AccountExport, ...]
    imports: tuple[AccountExport, ...]


_REPORTS, _WAITS, _METRICS = (kind.subject.split(".")[0] for kind in (NodeReport, HeldReport, ProxyMetrics))
"""First tokens of the subjects that agents and proxies publish."""

_FROM_STORE = (
    *(AccountExport("stream", kind.wildcard()) for kind in STREAMS.values()),
    *(AccountExport("service", direct_get(stream_of(kind)), many=True) for kind in (RouteTable, RuleTable)),
    *(AccountExport("service", direct_get(stream, kind.wildcard())) for stream, kind in STREAMS.items()),
    AccountExport("service", ScaleRequest.subject),
    AccountExport("service", FolderAccessRequest.wildcard()),
    AccountExport("service", UsageBatch.wildcard()),
    AccountExport("service", TrafficWindow.wildcard()),
    AccountExport("service", LogChunk.wildcard()),
)
_FROM_EDGE = (
    *(AccountExport("stream", f"{family}.>") for family in (_REPORTS, _WAITS, _METRICS)),
    AccountExport("service", LogsRequest.wildcard()),
    AccountExport("service", OwnPortRequest.wildcard()),
)
STORE_ACCOUNT = Account("EDGE", exports=_FROM_STORE, imports=_FROM_EDGE)
EDGE_ACCOUNT = Account("HEADRACE", exports=_FROM_EDGE, imports=_FROM_STORE)


def permissions(user: BusUser) -> Permissions:
    """Return the subjects that `user` may publish and subscribe to. Its inbox is private."""
    inbox = f"_INBOX_{user.name}.>"
    match user.kind:
        case UserKind.MANAGER:
            return Permissions((">",), (">",), allow_responses=True)
        case UserKind.AGENT:
            plan = NodePlan.subject_for(agent_id=user.id)
            return Permissions(
                (
                    NodeReport.subject_for(agent_id=user.id),
                    KernelMetrics.subject_for(agent_id=user.id),
                    LogChunk.subject_for(agent_id=user.id, reader=">"),
                    FolderAccessRequest.subject_for(agent_id=user.id),
                    direct_get(stream_of(NodePlan), plan),
                ),
                (plan, _any_question(LogsRequest.subject_for(agent_id=user.id)), inbox),
                allow_responses=True,
            )
        case UserKind.APPPROXY:
            return Permissions(
                (
                    ProxyMetrics.subject_for(proxy_id=user.id),
                    ProxyReport.subject_for(proxy_id=user.id),
                    HeldReport.subject_for(proxy_id=user.id),
                    UsageBatch.subject_for(proxy_id=user.id),
                    TrafficWindow.subject_for(proxy_id=user.id),
                    *_stored(RouteTable),
                ),
                (RouteTable.wildcard(), _any_question(OwnPortRequest.subject_for(proxy_id=user.id)), inbox),
                allow_responses=True,
            )
        case UserKind.AUTOSCALER:
            return Permissions(
                (
                    ScaleRequest.subject,
                    RuleReport.wildcard(),
                    AutoscalerReport.subject_for(autoscaler_id=user.id or "*"),
                    *_stored(RuleTable),
                ),
                (RuleTable.wildcard(), f"{_METRICS}.>", inbox),
            )


def _stored(kind: type[Message]) -> tuple[str, str]:
    """Return the Direct Get subject of all stored messages of a kind."""
    return direct_get(stream_of(kind)), direct_get(stream_of(kind), kind.wildcard())


def _any_question(subject: str) -> str:
    """Return the wildcard of all requests that are answered on `subject`."""
    return f"{subject.rpartition('.')[0]}.>"


def embedded_users(agents: int) -> tuple[BusUser, ...]:
    """Return the users of an embedded stack: agents `agent-1` to `agent-<n>`, named like their ids, and one proxy
    `proxy-1`.
    """
    return (
        BusUser("manager", UserKind.MANAGER),
        BusUser("autoscaler", UserKind.AUTOSCALER),
        BusUser("appproxy", UserKind.APPPROXY, "proxy-1"),
        *(BusUser(f"agent-{n}", UserKind.AGENT, f"agent-{n}") for n in range(1, agents + 1)),
    )
