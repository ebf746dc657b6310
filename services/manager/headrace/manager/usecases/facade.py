"""Use cases of the API, one object per noun.

The API gets this one object, so that routes need no wiring of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from headrace.common.contracts.problems import Problem
from headrace.manager.usecases.agent_drains import AgentDrains
from headrace.manager.usecases.agents import Agents
from headrace.manager.usecases.archives import Archives
from headrace.manager.usecases.audit import Audit
from headrace.manager.usecases.auth import Authentication
from headrace.manager.usecases.caller_usage import CallersUsage
from headrace.manager.usecases.calls import Calls
from headrace.manager.usecases.changes import Changes
from headrace.manager.usecases.clients import Clients
from headrace.manager.usecases.definitions import Definitions
from headrace.manager.usecases.files import Files
from headrace.manager.usecases.folder_shares import FolderShares
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.history import History
from headrace.manager.usecases.idempotency import Idempotency
from headrace.manager.usecases.identities import Identities
from headrace.manager.usecases.join_tokens import JoinTokens
from headrace.manager.usecases.joining import Joining
from headrace.manager.usecases.live_events import LiveEvents
from headrace.manager.usecases.logins import Logins
from headrace.manager.usecases.logs import Logs
from headrace.manager.usecases.metric_history import MetricHistory
from headrace.manager.usecases.metrics_now import MetricsNow
from headrace.manager.usecases.model_store import ModelStore
from headrace.manager.usecases.passwords import Passwords
from headrace.manager.usecases.projects import Projects
from headrace.manager.usecases.receipts import Receipts
from headrace.manager.usecases.replicas import Replicas
from headrace.manager.usecases.resolutions import Resolutions
from headrace.manager.usecases.resource_groups import ResourceGroups
from headrace.manager.usecases.resource_presets import ResourcePresets
from headrace.manager.usecases.rollouts import Rollouts
from headrace.manager.usecases.rules import Rules
from headrace.manager.usecases.search import Search
from headrace.manager.usecases.secrets import Secrets
from headrace.manager.usecases.service_lists import ServiceLists
from headrace.manager.usecases.services import Services
from headrace.manager.usecases.snapshot_files import SnapshotFiles
from headrace.manager.usecases.status import Status
from headrace.manager.usecases.targets import Targets
from headrace.manager.usecases.tokens import Tokens
from headrace.manager.usecases.trash import Trash
from headrace.manager.usecases.uploads import Uploads
from headrace.manager.usecases.usage import Usage
from headrace.manager.usecases.users import Users
from headrace.manager.usecases.validations import Validations
from headrace.manager.usecases.webhooks import Webhooks
from headrace.manager.usecases.wheels import Wheels

log = structlog.get_logger()


@dataclass(frozen=True)
class UseCases:
    """The use cases, one object per noun; wiring makes them."""

    auth: Authentication
    idempotency: Idempotency
    projects: Projects
    users: Users
    logins: Logins
    passwords: Passwords
    folders: Folders
    folder_shares: FolderShares
    trash: Trash
    files: Files
    definitions: Definitions
    model_store: ModelStore
    uploads: Uploads
    archives: Archives
    services: Services
    service_lists: ServiceLists
    search: Search
    changes: Changes
    replicas: Replicas
    rollouts: Rollouts
    receipts: Receipts
    tokens: Tokens
    calls: Calls
    clients: Clients
    secrets: Secrets
    resource_presets: ResourcePresets
    resource_groups: ResourceGroups
    rules: Rules
    history: History
    audit: Audit
    logs: Logs
    live_events: LiveEvents
    validations: Validations
    webhooks: Webhooks
    resolutions: Resolutions
    agents: Agents
    agent_drains: AgentDrains
    join_tokens: JoinTokens
    joining: Joining
    wheels: Wheels
    identities: Identities
    snapshot_files: SnapshotFiles
    targets: Targets
    usage: Usage
    callers: CallersUsage
    metric_history: MetricHistory
    metrics_now: MetricsNow
    status: Status

    async def clean(self) -> None:
        """Finish interrupted deletions and delete abandoned uploads, at a start, bounded.

        A storage error is left to the next start.
        """
        try:
            folders, uploads = await self.folders.clean(), await self.uploads.clean()
        except Problem as problem:
            log.warning("folders_not_cleaned", why=problem.detail)
        else:
            log.info("folders_cleaned", folders=folders, uploads=uploads)
