"""Use case of scrape targets: Prometheus' service discovery."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TypeVar

import structlog

from headrace.common.contracts.http.targets import TargetGroups, TargetKind
from headrace.common.db.pool import Pool
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.domain.scrape_targets import (
    MAX_TARGETS,
    Target,
    agent_targets,
    proxy_targets,
    replica_targets,
)
from headrace.manager.store import targets
from headrace.manager.usecases.auth import Authentication, Presented
from headrace.manager.usecases.context import operators_only
from headrace.manager.usecases.ports import AppProxies
from headrace.manager.views.targets import target_groups

log = structlog.get_logger()
T = TypeVar("T")


class Targets:
    """Use case of scrape targets, for operators and for who has the scrape key, which is good for nothing else."""

    def __init__(
        self, pool: Pool, auth: Authentication, proxies: AppProxies, places: AddressPolicy, scrape_key: str | None
    ) -> None:
        self._pool = pool
        self._auth = auth
        self._proxies = proxies
        self._places = places
        self._scrape_key = scrape_key

    async def groups(self, presented: Presented, kind: TargetKind | None = None) -> TargetGroups:
        """Return all targets, or those of one kind. Raises Unauthenticated, Forbidden."""
        if not self._has_scrape_key(presented.authorization):
            operators_only(await self._auth.actor(presented), "list scrape targets")
        found: list[Target] = []
        async with self._pool.acquire() as con:
            if kind in {None, "agent"}:
                found += agent_targets(_bounded(await targets.agents(con, MAX_TARGETS + 1), "agent"))
            if kind in {None, "replica"}:
                found += replica_targets(_bounded(await targets.replicas(con, MAX_TARGETS + 1), "replica"))
        if kind in {None, "appproxy"}:
            addresses = {key: one.report.admin_address for key, one in self._proxies.remembered().items()}
            found += proxy_targets(addresses, self._places)
        return target_groups(found)

    def _has_scrape_key(self, authorization: str | None) -> bool:
        if self._scrape_key is None or not authorization:
            return False
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._scrape_key.encode())


def _bounded(found: Sequence[T], kind: TargetKind) -> Sequence[T]:
    if len(found) > MAX_TARGETS:
        log.warning("targets_skipped", kind=kind, most=MAX_TARGETS)
    return found[:MAX_TARGETS]
