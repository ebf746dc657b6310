"""Batched creation of first replicas: many services in one transaction.

A create costs few round trips this way, and thousands of creates at once do not queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from headrace.common.contracts.ids import ServiceId
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.lifecycle.replica_state import Create
from headrace.manager.domain.records.sessions import ObservedRevs, ReconciledService
from headrace.manager.store import sessions

log = structlog.get_logger()


@dataclass(frozen=True)
class Start:
    """Replicas to create for a service without a live session."""

    service: ReconciledService
    creates: tuple[Create, ...]


async def create_first(pool: Pool, starts: Mapping[ServiceId, Start]) -> set[ServiceId]:
    """Create these replicas. Return the services that changed since they were read, for which nothing was created."""
    if not starts:
        return set()
    async with transaction(pool) as con:
        still = await sessions.unchanged(
            con, {id_: ObservedRevs(start.service.rev, {}) for id_, start in starts.items()}
        )
        given = [starts[service_id] for service_id in starts if service_id in still]
        await sessions.create_many(con, [(start.service, create) for start in given for create in start.creates])
    for start in given:
        log.info("service_reconciled", service_id=str(start.service.id), actions=["create"] * len(start.creates))
    return set(starts) - still
