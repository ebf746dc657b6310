"""Readiness checks of the four services: the keys of `failing` and `warnings` in the answer of `/readyz`.

Each is a member, so that the type checker knows every check and docs/metrics.md has a row for it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ReadinessCheck(StrEnum):
    """Catalogue of the readiness checks of one service."""

    meaning: str
    remedy: str

    def __new__(cls, name: str, meaning: str, remedy: str) -> Self:
        """Make a member: its name in `/readyz`, what it means when it fails, and what an operator does."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        member.remedy = remedy
        return member


class ManagerCheck(ReadinessCheck):
    """Checks of the manager; while one fails, `/readyz` answers 503."""

    BUS = (
        "bus",
        "the message bus is unreachable, or has no streams yet: changes are stored and published later, and what runs goes on",
        "see whether NATS runs, has room on its disk, and is at `nats_url`; the text has the error and since when",
    )
    LOOPS = (
        "loops",
        "a loop had no successful pass for a minute; `housekeeping`, `measuring`, `definitions` and `counting` are left out",
        "see the text for the loop and the log for `pass_failed`; the usual cause is the database",
    )


class ManagerWarning(ReadinessCheck):
    """Warnings of the manager: they are in `/readyz`, which still answers 200, since it can say why it refuses."""

    DATABASE = (
        "database",
        "PostgreSQL takes nothing: changes are refused, and nobody is known; what runs goes on",
        "see whether PostgreSQL runs, has room on its disk, and is at `database_url`; the text has the error and since when",
    )
    CONSOLE = (
        "console",
        "endpoints and API have the same origin, so logins by browsers are refused: models' output must never share it",
        "give `public_proxy_url` another host or port than `public_url`",
    )


class AgentCheck(ReadinessCheck):
    """Checks of the agent; while one fails, `/readyz` answers 503, and kernels that run go on."""

    BUS = (
        "bus",
        "the message bus is unreachable: the agent keeps to its last plan; the manager soon takes the machine for lost",
        "see whether the machine reaches NATS at `nats_url`, and whether the agent's user and password are right",
    )
    RUNTIME = (
        "runtime",
        "the container engine (or the process runtime) did not answer in the last pass: nothing is started or stopped",
        "see whether Docker runs and the agent may use its socket; the text has the error",
    )
    PLAN = (
        "plan",
        "the newest plan cannot be decrypted: what runs goes on, what left the plan is stopped, nothing new is started",
        "it ends once a manager has heard of the agent's key; if it stays, stop the agent, delete `plan.key` in its `data_dir`, and start it",
    )
    REPLICA_PORTS = (
        "replica-ports",
        "the packet filter of `replica_ports_from` is not in force, and nothing new is started; or a name in it is not resolved",
        "see whether `nft` is installed and the agent has CAP_NET_ADMIN in the machine's network namespace; the text has the error",
    )


class AutoscalerCheck(ReadinessCheck):
    """Checks of the autoscaler; while one fails, `/readyz` answers 503, and replicas stay as many as they are."""

    BUS = (
        "bus",
        "the message bus is unreachable: no samples arrive, and no scale request reaches a manager",
        "see whether NATS runs and is at `nats_url`",
    )
    RULES = (
        "rules",
        "the rule tables were not read since the start",
        "wait for the bus; if that is reachable, see whether a manager publishes (its check `loops`)",
    )
    REDIS = (
        "redis",
        "Redis (or Valkey) does not answer: no rule is evaluated, because cooldowns and leases are kept there",
        "see whether Redis runs, has memory, and is at `redis_url`; the text has the error",
    )


class AppProxyCheck(ReadinessCheck):
    """Checks of the app-proxy; while one fails, `/readyz` answers 503, and a balancer should send it no callers."""

    TRAFFIC = (
        "traffic",
        "no worker serves yet, or the app-proxy is stopping",
        "after a start wait a moment; if it stays, see the log for workers that end",
    )
    TABLES = (
        "tables",
        "it has no route tables: none on its disk, and the bus was not read yet",
        "see whether NATS is reachable and a manager publishes",
    )


class AppProxyWarning(ReadinessCheck):
    """Warnings of the app-proxy: they are in `/readyz`, which still answers 200, since traffic is served."""

    BUS = (
        "bus",
        "the message bus is unreachable: it serves from its last tables, so that changes and revocations do not arrive",
        "see whether NATS runs and is at `nats_url`",
    )
    OPEN_FILES = (
        "open-files",
        "the limit of open files is too low for `max_connections` and `max_open_requests`: both are bounded by what fits",
        "raise the hard limit (`LimitNOFILE` of systemd, `ulimit -Hn`), or lower the two settings",
    )
    CONNECTIONS = (
        "connections",
        "as many connections are open as may be; callers above get 503 `proxy-full`",
        "raise `max_connections` (and the open files), add an app-proxy, or find who holds connections",
    )
    LISTENERS = (
        "listeners",
        "services' own ports could not be opened; the services are degraded (`endpoint-port-failed`); tried again every 5 s",
        "stop what listens there, or give the service another port; the text has port and error",
    )


CHECKS: dict[str, tuple[type[ReadinessCheck], ...]] = {
    "Manager": (ManagerCheck, ManagerWarning),
    "Agent": (AgentCheck,),
    "App-proxy": (AppProxyCheck, AppProxyWarning),
    "Autoscaler": (AutoscalerCheck,),
}
"""Checks by the name of their service."""
