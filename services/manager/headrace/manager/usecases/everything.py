"""All use cases, as the API is given them; made here for wiring and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from headrace.common.contracts.problems import Problem
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.addresses import Places
from headrace.manager.domain.bounds import USUAL, Bounds
from headrace.manager.domain.own_ports import OwnPorts
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.signing import Vault
from headrace.manager.usecases.archives import Archives
from headrace.manager.usecases.auth import Authentication
from headrace.manager.usecases.changes import Changes
from headrace.manager.usecases.clients import Clients
from headrace.manager.usecases.fleet import Fleet
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.history import History
from headrace.manager.usecases.logs import Logs
from headrace.manager.usecases.ports import AppProxies, LogReader, Pokes, RuleOutcomes
from headrace.manager.usecases.projects import Projects
from headrace.manager.usecases.receipts import Receipts
from headrace.manager.usecases.replicas import Replicas
from headrace.manager.usecases.resolution import Resolver
from headrace.manager.usecases.revocations import Revocations
from headrace.manager.usecases.rules import Rules
from headrace.manager.usecases.services import Services
from headrace.manager.usecases.stored import Stored
from headrace.manager.usecases.tokens import SigningKeys, Tokens
from headrace.manager.usecases.uploads import Uploads
from headrace.manager.usecases.users import Users
from headrace.manager.usecases.validations import Validations
from headrace.manager.usecases.views import Views

log = structlog.get_logger()


@dataclass(frozen=True)
class UseCases:
    """One object per noun; wiring builds them."""

    auth: Authentication
    projects: Projects
    users: Users
    folders: Folders
    uploads: Uploads
    archives: Archives
    services: Services
    changes: Changes
    replicas: Replicas
    receipts: Receipts
    tokens: Tokens
    clients: Clients
    rules: Rules
    history: History
    logs: Logs
    validations: Validations
    fleet: Fleet

    async def clean(self) -> None:
        """Housekeeping of a start, bounded: interrupted deletions and forgotten uploads. A storage that fails is left for the next start."""
        try:
            folders, uploads = await self.folders.clean(), await self.uploads.clean()
        except Problem as problem:
            log.warning("folders_not_cleaned", why=problem.detail)
        else:
            log.info("folders_cleaned", folders=folders, uploads=uploads)


def build(
    pool: Pool, storage: FolderStorage, *, vault: Vault, proxy_url: str, pokes: Pokes, outcomes: RuleOutcomes,
    reader: LogReader, clock: Clock, max_upload_bytes: int, uploads_kept_for: timedelta, own_ports: OwnPorts, proxies: AppProxies,
    most: Bounds = USUAL, places: Places = Places(),  # noqa: B008 - frozen
) -> UseCases:  # fmt: skip
    """Return all use cases on these parts. `proxy_url`: where callers reach the app-proxy."""
    resolver = Resolver(pool, storage)
    services = Services(pool, resolver, Views(proxy_url, proxies), pokes, clock, own_ports, most)
    account = Stored(pool, most)
    folders = Folders(pool, storage, account, most)
    revocations = Revocations(pool, proxies, clock)
    return UseCases(
        auth=Authentication(pool, vault), projects=Projects(pool, most), users=Users(pool, vault, most), folders=folders,
        uploads=Uploads(pool, storage, folders, account, max_bytes=max_upload_bytes, kept_for=uploads_kept_for, most=most),
        archives=Archives(pool, storage, folders, account, max_bytes=max_upload_bytes),
        services=services, changes=Changes(pool, resolver, services, pokes, own_ports, most), replicas=Replicas(pool, pokes),
        receipts=Receipts(pool),
        tokens=Tokens(pool, SigningKeys(vault), pokes, clock, most, revocations), clients=Clients(pool, pokes, most, revocations),
        rules=Rules(pool, outcomes, pokes, most),
        history=History(pool), logs=Logs(pool, reader, clock), validations=Validations(pool, resolver, pokes, most),
        fleet=Fleet(pool, places),
    )  # fmt: skip
