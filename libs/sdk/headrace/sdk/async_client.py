"""Asynchronous client: the groups and calls of `Client`, awaited.

Parameters, results and errors are those of the synchronous methods, which run in threads (async_calls.py).
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from headrace.sdk.agents import Agents
from headrace.sdk.async_calls import PARALLEL, AsyncGroup, Calls, awaited, iterated
from headrace.sdk.audit import Audit
from headrace.sdk.client import Client
from headrace.sdk.clients import Clients
from headrace.sdk.events import Events
from headrace.sdk.folders import Folders
from headrace.sdk.joining import Identities, JoinTokens
from headrace.sdk.logins import Logins
from headrace.sdk.metrics import Metrics
from headrace.sdk.models import Models
from headrace.sdk.projects import Projects
from headrace.sdk.resource_groups import ResourceGroups
from headrace.sdk.resource_presets import ResourcePresets
from headrace.sdk.rollouts import Rollouts
from headrace.sdk.rules import Rules
from headrace.sdk.secrets import Secrets
from headrace.sdk.services import Services
from headrace.sdk.tokens import Tokens
from headrace.sdk.usage import Usage
from headrace.sdk.users import Users
from headrace.sdk.validations import Validations
from headrace.sdk.webhooks import Webhooks


class AsyncAgents(AsyncGroup):
    """Twin of `Agents`."""

    list = iterated(Agents.list)
    get = awaited(Agents.get)
    update = awaited(Agents.update)
    cordon = awaited(Agents.cordon)
    uncordon = awaited(Agents.uncordon)
    drain = awaited(Agents.drain)
    drain_of = awaited(Agents.drain_of)
    wait_drained = awaited(Agents.wait_drained, long=True)
    label = awaited(Agents.label)
    remove = awaited(Agents.remove)
    removed = iterated(Agents.removed)
    admit = awaited(Agents.admit)


class AsyncAudit(AsyncGroup):
    """Twin of `Audit`."""

    list = iterated(Audit.list)
    show = awaited(Audit.show)
    csv = iterated(Audit.csv, long=True)


class AsyncClients(AsyncGroup):
    """Twin of `Clients`."""

    create = awaited(Clients.create)
    list = iterated(Clients.list)
    update = awaited(Clients.update)
    rotate = awaited(Clients.rotate)
    revoke = awaited(Clients.revoke)
    revocation = awaited(Clients.revocation)
    wait_in_force = awaited(Clients.wait_in_force, long=True)


class AsyncEvents(AsyncGroup):
    """Twin of `Events`."""

    follow = iterated(Events.follow, long=True)


class AsyncFolders(AsyncGroup):
    """Twin of `Folders`."""

    create = awaited(Folders.create)
    list = iterated(Folders.list)
    get = awaited(Folders.get)
    rename = awaited(Folders.rename)
    manifest = awaited(Folders.manifest)
    check = awaited(Folders.check)
    schema = awaited(Folders.schema)
    delete = awaited(Folders.delete)
    trash = iterated(Folders.trash)
    restore = awaited(Folders.restore)
    purge = awaited(Folders.purge)
    files = iterated(Folders.files)
    make_directory = awaited(Folders.make_directory)
    move = awaited(Folders.move)
    read = awaited(Folders.read)
    read_tagged = awaited(Folders.read_tagged)
    write = awaited(Folders.write)
    delete_file = awaited(Folders.delete_file)
    download = awaited(Folders.download, long=True)
    upload = awaited(Folders.upload, long=True)
    upload_small = iterated(Folders.upload_small, long=True)
    download_small = iterated(Folders.download_small, long=True)
    upload_tree = awaited(Folders.upload_tree, long=True)
    download_tree = awaited(Folders.download_tree, long=True)
    uploads = iterated(Folders.uploads)
    cancel_upload = awaited(Folders.cancel_upload)
    share = awaited(Folders.share)
    shares = iterated(Folders.shares)
    unshare = awaited(Folders.unshare)
    invitations = iterated(Folders.invitations)
    accept = awaited(Folders.accept)
    decline = awaited(Folders.decline)


class AsyncJoinTokens(AsyncGroup):
    """Twin of `JoinTokens`."""

    create = awaited(JoinTokens.create)
    list = iterated(JoinTokens.list)
    revoke = awaited(JoinTokens.revoke)


class AsyncIdentities(AsyncGroup):
    """Twin of `Identities`."""

    list = iterated(Identities.list)
    revoke = awaited(Identities.revoke)


class AsyncLogins(AsyncGroup):
    """Twin of `Logins`."""

    start = awaited(Logins.start)
    current = awaited(Logins.current)
    end = awaited(Logins.end)
    create_code = awaited(Logins.create_code)
    list = iterated(Logins.list)
    end_of = awaited(Logins.end_of)
    set_password = awaited(Logins.set_password)


class AsyncModels(AsyncGroup):
    """Twin of `Models`."""

    list = iterated(Models.list)
    get = awaited(Models.get)
    run = awaited(Models.run)


class AsyncProjects(AsyncGroup):
    """Twin of `Projects`."""

    create = awaited(Projects.create)
    list = iterated(Projects.list)
    get = awaited(Projects.get)
    update = awaited(Projects.update)
    delete = awaited(Projects.delete)
    usage = awaited(Projects.usage)
    members = iterated(Projects.members)
    put_member = awaited(Projects.put_member)
    remove_member = awaited(Projects.remove_member)


class AsyncResourceGroups(AsyncGroup):
    """Twin of `ResourceGroups`."""

    create = awaited(ResourceGroups.create)
    list = iterated(ResourceGroups.list)
    update = awaited(ResourceGroups.update)
    delete = awaited(ResourceGroups.delete)


class AsyncResourcePresets(AsyncGroup):
    """Twin of `ResourcePresets`."""

    create = awaited(ResourcePresets.create)
    list = iterated(ResourcePresets.list)
    get = awaited(ResourcePresets.get)
    update = awaited(ResourcePresets.update)
    delete = awaited(ResourcePresets.delete)


class AsyncRollouts(AsyncGroup):
    """Twin of `Rollouts`."""

    get = awaited(Rollouts.get)
    pause = awaited(Rollouts.pause)
    resume = awaited(Rollouts.resume)
    promote = awaited(Rollouts.promote)
    abort = awaited(Rollouts.abort)


class AsyncRules(AsyncGroup):
    """Twin of `Rules`."""

    create = awaited(Rules.create)
    list = iterated(Rules.list)
    update = awaited(Rules.update)
    replace = awaited(Rules.replace)
    delete = awaited(Rules.delete)


class AsyncSecrets(AsyncGroup):
    """Twin of `Secrets`."""

    put = awaited(Secrets.put)
    list = iterated(Secrets.list)
    get = awaited(Secrets.get)
    delete = awaited(Secrets.delete)


class AsyncServices(AsyncGroup):
    """Twin of `Services`."""

    create = awaited(Services.create)
    resolve = awaited(Services.resolve)
    resolve_update = awaited(Services.resolve_update)
    list = iterated(Services.list)
    counts = awaited(Services.counts)
    get = awaited(Services.get)
    update = awaited(Services.update)
    scale = awaited(Services.scale)
    delete = awaited(Services.delete)
    available = awaited(Services.available)
    start = awaited(Services.start)
    stop = awaited(Services.stop)
    restart = awaited(Services.restart)
    retry = awaited(Services.retry)
    rollback = awaited(Services.rollback)
    revisions = iterated(Services.revisions)
    revision = awaited(Services.revision)
    manifest = awaited(Services.manifest)
    history = iterated(Services.history)
    decisions = iterated(Services.decisions)
    replica = awaited(Services.replica)
    set_weight = awaited(Services.set_weight)
    replace = awaited(Services.replace)
    receipts = iterated(Services.receipts)
    rollout_receipt = awaited(Services.rollout_receipt)
    wait_for_receipt = awaited(Services.wait_for_receipt, long=True)
    logs = iterated(Services.logs, long=True)
    watch = iterated(Services.watch, long=True)
    wait = awaited(Services.wait, long=True)
    failed_replicas = awaited(Services.failed_replicas)


class AsyncTokens(AsyncGroup):
    """Twin of `Tokens`."""

    create = awaited(Tokens.create)
    list = iterated(Tokens.list)
    update = awaited(Tokens.update)
    revoke = awaited(Tokens.revoke)
    revocation = awaited(Tokens.revocation)
    wait_in_force = awaited(Tokens.wait_in_force, long=True)


class AsyncUsage(AsyncGroup):
    """Twin of `Usage`."""

    report = awaited(Usage.report)
    callers = iterated(Usage.callers)
    project_callers = iterated(Usage.project_callers)


class AsyncMetrics(AsyncGroup):
    """Twin of `Metrics`."""

    history = awaited(Metrics.history)
    names = awaited(Metrics.names)
    now = awaited(Metrics.now)


class AsyncUsers(AsyncGroup):
    """Twin of `Users`."""

    create = awaited(Users.create)
    list = iterated(Users.list)
    get = awaited(Users.get)
    update = awaited(Users.update)
    create_key = awaited(Users.create_key)
    keys = iterated(Users.keys)
    update_key = awaited(Users.update_key)
    delete_key = awaited(Users.delete_key)


class AsyncValidations(AsyncGroup):
    """Twin of `Validations`."""

    start = awaited(Validations.start)
    get = awaited(Validations.get)
    logs = iterated(Validations.logs, long=True)
    stop = awaited(Validations.stop)
    wait = awaited(Validations.wait, long=True)
    watch = iterated(Validations.watch, long=True)


class AsyncWebhooks(AsyncGroup):
    """Twin of `Webhooks`."""

    create = awaited(Webhooks.create)
    list = iterated(Webhooks.list)
    get = awaited(Webhooks.get)
    update = awaited(Webhooks.update)
    delete = awaited(Webhooks.delete)
    test = awaited(Webhooks.test)


class AsyncClient(AsyncGroup):
    """Asynchronous client of Headrace's REST API; use it as an asynchronous context manager, or close() it.

    It has the groups and methods of Client: one that returns is awaited, one that yields is an asynchronous generator.
    """

    whoami = awaited(Client.whoami)
    search = awaited(Client.search)
    targets = awaited(Client.targets)
    status = awaited(Client.status)
    version = awaited(Client.version)

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        retries: int = 3,
        verify: bool | str = True,
        patience_s: float = 0.0,
        on_wait: Callable[[str], None] | None = None,
        message: str = "",
        parallel: int = PARALLEL,
    ) -> None:
        """As Client. `parallel`: calls at once; further ones wait. Callbacks (`on_wait`, `progress`, …) are called in threads."""
        client = Client(
            url,
            key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retries=retries,
            verify=verify,
            patience_s=patience_s,
            on_wait=on_wait,
            message=message,
        )
        calls = Calls(client, parallel=parallel)
        super().__init__(calls, "")
        self.url = client.url
        self.agents = AsyncAgents(calls, "agents")
        self.audit = AsyncAudit(calls, "audit")
        self.clients = AsyncClients(calls, "clients")
        self.events = AsyncEvents(calls, "events")
        self.folders = AsyncFolders(calls, "folders")
        self.join_tokens = AsyncJoinTokens(calls, "join_tokens")
        self.identities = AsyncIdentities(calls, "identities")
        self.logins = AsyncLogins(calls, "logins")
        self.models = AsyncModels(calls, "models")
        self.projects = AsyncProjects(calls, "projects")
        self.resource_groups = AsyncResourceGroups(calls, "resource_groups")
        self.resource_presets = AsyncResourcePresets(calls, "resource_presets")
        self.rollouts = AsyncRollouts(calls, "rollouts")
        self.rules = AsyncRules(calls, "rules")
        self.secrets = AsyncSecrets(calls, "secrets")
        self.services = AsyncServices(calls, "services")
        self.tokens = AsyncTokens(calls, "tokens")
        self.project_tokens = AsyncTokens(calls, "project_tokens")
        self.usage = AsyncUsage(calls, "usage")
        self.metrics = AsyncMetrics(calls, "metrics")
        self.users = AsyncUsers(calls, "users")
        self.validations = AsyncValidations(calls, "validations")
        self.webhooks = AsyncWebhooks(calls, "webhooks")

    async def close(self) -> None:
        """Close the connections; calls that are under way fail, and the client cannot be used afterwards."""
        await self._calls.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
