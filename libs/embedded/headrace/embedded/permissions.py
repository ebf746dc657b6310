"""Who may say and hear what on the bus: the table behind every NATS configuration of Headrace.

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


class UserKind(StrEnum):
    """What a bus user is."""

    MANAGER = "manager"
    AGENT = "agent"
    APPPROXY = "appproxy"
    AUTOSCALER = "autoscaler"


@dataclass(frozen=True, slots=True)
class BusUser:
    """One NATS user. `id` is the agent's or proxy's id; `*` stands for any proxy."""

    name: str
    kind: UserKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Allow lists of subjects; what is not in them is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    allow_responses: bool = False
    """May answer each request it received, wherever the answer goes."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Subjects that pass from one account to the other: messages (`stream`) or questions with their answers (`service`)."""

    kind: Literal["stream", "service"]
    subject: str
    many: bool = False
    """Whether a question has many answers."""


@dataclass(frozen=True, slots=True)
class Side:
    """What an account offers the other one, and what it takes from there."""

    other: str
    offers: tuple[Crossing, ...]
    takes: tuple[Crossing, ...]


_FROM_STORE = (
    *(Crossing("stream", subject) for subject in ("plan.agent.*", "route.*", "rules.*")),
    *(Crossing("service", f"$JS.API.DIRECT.GET.{stream}", many=True) for stream in ("ROUTES", "RULES")),
    Crossing("service", "$JS.API.DIRECT.GET.PLANS.plan.agent.*"),
    Crossing("service", "$JS.API.DIRECT.GET.ROUTES.route.*"),
    Crossing("service", "$JS.API.DIRECT.GET.RULES.rules.*"),
    Crossing("service", "rpc.manager.scale"),
    Crossing("service", "logs.agent.*.*"),
)
_FROM_EDGE = (
    *(Crossing("stream", subject) for subject in ("report.>", "held.>", "metrics.>")),
    Crossing("service", "rpc.agent.*.logs"),
)
STORE_SIDE = Side("EDGE", offers=_FROM_STORE, takes=_FROM_EDGE)
EDGE_SIDE = Side("HEADRACE", offers=_FROM_EDGE, takes=_FROM_STORE)


def permissions(user: BusUser) -> Permissions:
    """Return what `user` may publish and subscribe to. Its inbox is its own: nobody else hears its answers."""
    inbox = f"_INBOX_{user.name}.>"
    match user.kind:
        case UserKind.MANAGER:
            return Permissions((">",), (">",), allow_responses=True)
        case UserKind.AGENT:
            return Permissions(
                (
                    f"report.agent.{user.id}",
                    f"metrics.kernel.{user.id}",
                    f"logs.agent.{user.id}.>",
                    f"$JS.API.DIRECT.GET.PLANS.plan.agent.{user.id}",
                ),
                (f"plan.agent.{user.id}", f"rpc.agent.{user.id}.>", inbox),
                allow_responses=True,
            )
        case UserKind.APPPROXY:
            return Permissions(
                (
                    f"metrics.proxy.{user.id}",
                    f"report.proxy.{user.id}",
                    f"held.proxy.{user.id}",
                    "$JS.API.DIRECT.GET.ROUTES",
                    "$JS.API.DIRECT.GET.ROUTES.route.*",
                ),
                ("route.*", inbox),
            )
        case UserKind.AUTOSCALER:
            return Permissions(
                ("rpc.manager.scale", "report.rules.*", "$JS.API.DIRECT.GET.RULES", "$JS.API.DIRECT.GET.RULES.rules.*"),
                ("rules.*", "metrics.>", inbox),
            )


def embedded_users(agents: int) -> tuple[BusUser, ...]:
    """Return the users of an embedded stack: agents `agent-1` to `agent-<n>`, named like their ids, and one proxy `proxy-1`."""
    return (
        BusUser("manager", UserKind.MANAGER),
        BusUser("autoscaler", UserKind.AUTOSCALER),
        BusUser("appproxy", UserKind.APPPROXY, "proxy-1"),
        *(BusUser(f"agent-{n}", UserKind.AGENT, f"agent-{n}") for n in range(1, agents + 1)),
    )
