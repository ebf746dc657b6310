"""Who may say and hear what on the bus: the table behind every NATS configuration of Headrace.

Each service uses the least that its contracts need (docs/architecture.md, subjects), and an agent only its own
subjects. Streams are read by Direct Get, so no one but the manager needs the JetStream API.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
