"""Closed sets of words that contracts and decisions share.

REST models, bus messages and stored rows all spell them so; decisions know the words without knowing the models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Role = Literal["owner", "member", "viewer"]
"""Role of a user in a project. Each includes the next: owner, member, viewer."""

LoginMethod = Literal["key", "password", "code"]
"""By what a user logged in: an API key, name and password, a one-time code."""

LoginForm = Literal["cookie", "token"]
"""How a login is presented: by a browser as a cookie, by a program as a bearer token."""

JoinKind = Literal["agent", "proxy", "autoscaler"]
"""What joins an installation: a machine with an agent, an app-proxy, an autoscaler."""

JoinForm = Literal["wheels", "docker"]
"""How the line of a join token brings the service: from the managers' wheels, or as a container of the agent's image."""

Feature = Literal["model-uris", "own-ports", "public-services", "webhooks"]
"""What operators may switch off for a project."""

HolderKind = Literal["service", "trial-run", "folder"]
"""What holds some of a project's quota."""

DefinitionKind = Literal["model-definition", "service-definition"]
"""The definition files of a model folder."""
UsageMode = Literal["model", "data", "general"]
FolderPermission = Literal["read", "write"]
"""What may be done with the files of a folder. Write includes read."""
"""Purpose of a folder."""

FileKind = Literal["file", "directory", "link", "special"]
"""Type of a folder's entry. Links and special files (pipes, sockets, devices) are neither read nor followed."""

RuntimeVariant = Literal["vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp", "cmd", "custom"]
"""Runtime variant: how a model is started."""

InstanceKind = Literal["manager", "app-proxy", "autoscaler"]
"""Processes that report to managers as parts of the installation, besides agents."""

PartKind = Literal["manager", "app-proxy", "autoscaler", "agent", "postgresql", "nats", "redis"]
"""Parts of an installation."""

PartStatus = Literal["up", "starting", "degraded", "away", "stopped", "unknown"]
"""up: it works. starting: it began a moment ago, and is not ready yet. degraded: it says itself that something is wrong. away:
silent, although it did not say that it stops. stopped: it said so. unknown: nobody hears of it at present."""

ServiceStatus = Literal["healthy", "degraded", "unhealthy"]
"""Status: whether a service can serve."""

SERVICE_STATUSES: Final[Mapping[ServiceStatus, str]] = {
    "healthy": "as many replicas serve as are wanted (of any revision), and callers reach them",
    "degraded": "fewer serve than are wanted, or callers may lack the newest change: a route or rule table, an app-proxy "
    "or an own port is behind",
    "unhealthy": "no replica serves, also where none is wanted, or no app-proxy reports: callers are not served",
}
"""Meaning of each status, for the docs."""

ServicePhase = Literal["deploying", "deployed", "stopping", "stopped", "failed"]
"""Phase: whether a service has reached its desired state."""

SERVICE_PHASES: Final[Mapping[ServicePhase, str]] = {
    "deploying": "fewer replicas of the current revision serve than are wanted, and starting them goes on",
    "deployed": "as many replicas of the current revision serve as are wanted",
    "stopping": "it was stopped or deleted, and replicas are still draining or stopping",
    "stopped": "a user stopped it, and no replica is left",
    "failed": "too many starts of the current revision failed in a row: none is tried until a user retries; an earlier "
    "revision may serve meanwhile",
}
"""Meaning of each phase, for the docs."""

ServiceSort = Literal["created", "name", "updated", "replicas", "status"]
"""By what a list of services is sorted. created: when it was created. replicas: their desired number. status: unhealthy, degraded,
healthy."""

SortOrder = Literal["asc", "desc"]
"""Direction of a sort: ascending or descending."""

FoundKind = Literal["service", "folder", "project", "machine", "user"]
"""What a search finds."""

LiveKind = Literal[
    "service",
    "validation",
    "token",
    "client",
    "rule",
    "secret",
    "webhook",
    "folder",
    "resource-preset",
    "resource-group",
    "project",
    "user",
    "agent",
    "join-token",
    "identity",
]
"""Of what live events tell that it changed. service: also its replicas, revisions and rollout. folder: also what the model store
says of it. project: also its members. user: also its keys and logins. agent: also its drains."""

FollowEnd = Literal["too-slow", "no-access", "stopping"]
"""Why a manager ends a stream of live events. too-slow: the reader takes less than there is. no-access: its key or login has ended,
or it may not see the project any more. stopping: the manager stops."""

CallerKind = Literal["token", "client", "public", "other"]
"""By what a caller was known: a token, a named client, nothing at a public service. `other`: callers beyond those that an
app-proxy counts apart.
"""

LimitsScope = Literal["service", "project"]
"""Over what a caller's limits count: at one service, or over all services of the project."""

UsageBy = Literal["project", "service", "revision", "token", "client", "user"]
"""What usage is summed by. `user`: who made the token or client that called, and the service whose replicas ran."""

UsageStep = Literal["hour", "day", "month"]
"""Length of the intervals of usage, in UTC."""

SessionStatus = Literal["pending", "placed", "running", "draining", "stopping", "ended"]
"""pending: waits for a machine. placed: in a machine's plan. running: its main kernel runs. draining, stopping, ended:
on the way out."""

KernelState = Literal["preparing", "running", "exited", "failed"]
"""preparing: pulling, mounting, pre-start actions. failed: it could not be started. exited: it ran and ended."""

HealthStatus = Literal["degraded", "healthy", "unhealthy"]
"""Result of a kernel's health checks."""

TransferPhase = Literal["manifest", "waiting", "fetching", "linking"]
"""manifest: a manager is asked what the folder has. waiting: another replica fetches the rest. fetching: files are fetched and
verified. linking: the tree is made."""
