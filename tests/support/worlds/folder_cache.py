"""Folder cache of an agent, on a real disk, with folders from a manager's real API."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import REGISTRY

from headrace.agent.domain.fetch_requests import PIECE_BYTES
from headrace.agent.folder_cache.cache import CacheLimits, FolderCache
from headrace.agent.folder_cache.managers import AccessToken, ManagerFiles
from headrace.common.contracts.ids import FolderId, SnapshotId, new_uuid
from headrace.common.contracts.messages.folder_access import FolderAccess, FolderAccessRequest
from headrace.common.contracts.messages.reports import Transfer
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import SYSTEM_CLOCKS
from tests.support.relay import Relay, relay
from tests.support.snapshots import content_of_tree, put_snapshot
from tests.support.worlds.manager_api import ManagerApi, serving

LARGE = random.Random(1).randbytes(PIECE_BYTES * 2 + 12345)
FILES = {
    "model.bin": LARGE,
    "config.json": b"{}",
    "a/b/tokens.txt": b"one two",
    "a/empty": b"",
    "run.sh": b"#!/bin/sh\n",
}
EVERYTHING = 1 << 40


def fetched_bytes() -> float:
    """Bytes that caches of this process fetched so far."""
    return REGISTRY.get_sample_value("headrace_agent_folder_fetched_bytes_total") or 0.0


@dataclass
class Machine:
    """A machine's caches, one after the other on the same disk, and what plans name."""

    api: ManagerApi
    link: Relay
    root: Path
    folder_id: FolderId = field(default_factory=lambda: FolderId(new_uuid()))
    in_use: set[str] | None = field(default_factory=set)
    said: list[Transfer] = field(default_factory=list)
    grants: list[FolderAccess] = field(default_factory=list)
    """What managers answer first to who asks for access."""

    async def plans(self, *snapshots: SnapshotId, agent: str = "agent-1") -> None:
        """Let a replica on the machine mount these snapshots, and no others."""
        mounts = [{"folder_id": str(self.folder_id), "target": "/models", "snapshot_id": one} for one in snapshots]
        await self.api.machine(agent)
        project = await self.api.pool.fetchval("select id from projects limit 1")
        session = new_uuid()
        await self.api.pool.execute("update sessions set status = 'ended', ended_at = now()")
        await self.api.pool.execute(
            "insert into sessions (id, kind, project_id, resource_group, status, resolved) values"
            " ($1, 'validation', $2, 'default', 'placed', $3)",
            session,
            project,
            {"mounts": mounts},
        )
        await self.api.pool.execute(
            "insert into kernels (id, session_id, agent_id) values ($1, $2, $3)", new_uuid(), session, agent
        )

    async def has(self, files: dict[str, bytes], *, executable: Collection[str] = ()) -> SnapshotId:
        """Put a snapshot on the managers' storage that the machine's plan names."""
        snapshot_id = put_snapshot(self.api.folders, self.folder_id, files, executable=executable)
        await self.plans(snapshot_id)
        return snapshot_id

    @asynccontextmanager
    async def cache(
        self,
        *,
        capacity: int = EVERYTHING,
        reserve: int = 0,
        agent: str = "agent-1",
        urls: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[FolderCache]:
        """A cache, as after a start of the agent."""

        async def ask() -> FolderAccess:
            if self.grants:
                return self.grants.pop(0)
            return await self.api.use.snapshot_files.grant(FolderAccessRequest(agent_id=agent))

        clocks = SYSTEM_CLOCKS
        token = AccessToken(ask, clocks.monotonic)
        cache = FolderCache(
            self.root,
            ManagerFiles(urls or [f"http://127.0.0.1:{self.link.port}"], token, tls, connections=3),
            CacheLimits(capacity, reserve, connections=3),
            in_use=lambda: self.in_use,
            now=clocks.utc,
            monotonic=clocks.monotonic,
        )
        try:
            yield cache
        finally:
            cache.close()

    async def provide(self, cache: FolderCache, snapshot_id: SnapshotId) -> dict[str, bytes]:
        """Let the cache provide a snapshot, and return what its tree has."""
        tree = await cache.tree(snapshot_id, self.said.append)
        return await asyncio.to_thread(content_of_tree, tree)


@asynccontextmanager
async def machine_with_cache(pool: Pool, root: Path) -> AsyncIterator[Machine]:
    """A machine with an empty cache, and a manager with its network between them."""
    async with serving(pool, root) as api, relay("127.0.0.1", int(api.url.rpartition(":")[2])) as link:
        yield Machine(api, link, root / "cache")
