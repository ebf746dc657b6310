"""Use cases of agents that fetch snapshots of folders: access tokens, and the files.

An agent gets the snapshots that its plan names, and no others. What its plan names is looked up with each request, so a machine
that was removed, or whose replicas have left, gets nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from headrace.common.contracts.ids import AgentId, SnapshotId
from headrace.common.contracts.manifest import FILES, MANIFEST, snapshot_files
from headrace.common.contracts.messages.folder_access import FolderAccess, FolderAccessRequest
from headrace.common.contracts.problems import InvalidRequest, NotFound, TooManyRequests, Unauthenticated
from headrace.common.contracts.snapshot_files import MAX_PARTS_BYTES, FileParts
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.folders.parts import Part, PartsReader
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.tree import Tree
from headrace.manager.metrics import SNAPSHOT_BYTES, SNAPSHOT_REQUESTS
from headrace.manager.signing import FolderAccessTokens
from headrace.manager.store import agents

LIFETIME: Final = timedelta(minutes=10)
"""Of a token: a bus that is away for less interrupts no fetch."""
AT_ONCE: Final = 64
"""Requests of all agents that are answered at once; each holds about 1 MiB."""
AT_ONCE_OF_AGENT: Final = 16
_RETRY_AFTER_S: Final = 1


@dataclass(frozen=True, slots=True)
class ServedFile:
    """Bytes for an agent: how many, and the stream."""

    size_bytes: int
    pieces: AsyncIterator[bytes]


class SnapshotFiles:
    """Server of snapshots' files to agents."""

    def __init__(self, pool: Pool, storage: FolderStorage, tokens: FolderAccessTokens, clock: Clock) -> None:
        self._pool = pool
        self._storage = storage
        self._tokens = tokens
        self._clock = clock
        self._open: Counter[AgentId] = Counter()

    async def grant(self, request: FolderAccessRequest) -> FolderAccess:
        """Return a token for the agent that asks on its own subject, or why it gets none."""
        async with self._pool.acquire() as con:
            known = await agents.one(con, request.agent_id)
        if known is None:
            return FolderAccess(detail=f"no machine {request.agent_id} is in this installation")
        token = self._tokens.issue(request.agent_id, issued_at=self._clock(), lifetime=LIFETIME)
        return FolderAccess(token=token, expires_in_s=int(LIFETIME.total_seconds()))

    @asynccontextmanager
    async def manifest(self, authorization: str | None, snapshot_id: SnapshotId) -> AsyncIterator[ServedFile]:
        """Yield the snapshot's manifest (JSON). Raises Unauthenticated, NotFound, TooManyRequests, Unavailable."""
        agent_id, folder = await self._allowed(authorization, snapshot_id)
        tree = Tree(folder.parent, folder.name)
        with self._counted(agent_id):
            async with self._storage.opened(partial(tree.open_file, (MANIFEST,))) as file:
                size = file.size_bytes
            async with self._pieces(tree, [Part((MANIFEST,), 0, size)]) as pieces:
                yield ServedFile(size, pieces)

    @asynccontextmanager
    async def parts(
        self, authorization: str | None, snapshot_id: SnapshotId, wanted: FileParts
    ) -> AsyncIterator[ServedFile]:
        """Yield the bytes of these parts of the snapshot's files, one after the other.

        Raises Unauthenticated, NotFound, InvalidRequest, TooManyRequests, Unavailable.
        """
        if wanted.size_bytes > MAX_PARTS_BYTES:
            raise InvalidRequest.of("parts", f"{wanted.size_bytes} bytes in all", f"at most {MAX_PARTS_BYTES}")
        agent_id, folder = await self._allowed(authorization, snapshot_id)
        parts = [Part(tuple(part.path.split("/")), part.offset, part.length) for part in wanted.parts]
        with self._counted(agent_id):
            async with self._pieces(Tree(folder, FILES), parts) as pieces:
                yield ServedFile(wanted.size_bytes, pieces)

    async def _allowed(self, authorization: str | None, snapshot_id: SnapshotId) -> tuple[AgentId, Path]:
        """Return which agent asks, and where the snapshot is. Raises Unauthenticated; NotFound unless its plan names it."""
        scheme, _, token = (authorization or "").partition(" ")
        agent_id = self._tokens.agent_of(token.strip(), now=self._clock()) if scheme.lower() == "bearer" else None
        if agent_id is None:
            raise Unauthenticated(
                "an agent's folder access token is needed, which it gets over the bus; or it has expired"
            )
        async with self._pool.acquire() as con:
            folder_id = await agents.planned_folder(con, agent_id, snapshot_id)
        if folder_id is None:
            raise NotFound(f"the plan of {agent_id} names no snapshot {snapshot_id[:12]}")
        return agent_id, (self._storage.root / snapshot_files(folder_id, snapshot_id)).parent

    @contextmanager
    def _counted(self, agent_id: AgentId) -> Iterator[None]:
        """Hold one of the requests that are answered at once. Raises TooManyRequests."""
        for count, most, whose in (
            (self._open[agent_id], AT_ONCE_OF_AGENT, agent_id),
            (self._open.total(), AT_ONCE, "all agents"),
        ):
            if count >= most:
                words = f"found {count} requests of {whose} for folders that are answered now; allowed: {most}"
                raise TooManyRequests(words, retry_after_s=_RETRY_AFTER_S, found=count, allowed=most)
        self._open[agent_id] += 1
        SNAPSHOT_REQUESTS.set(self._open.total())
        try:
            yield
        finally:
            self._open[agent_id] -= 1
            if not self._open[agent_id]:
                del self._open[agent_id]
            SNAPSHOT_REQUESTS.set(self._open.total())

    @asynccontextmanager
    async def _pieces(self, tree: Tree, parts: Sequence[Part]) -> AsyncIterator[AsyncIterator[bytes]]:
        reader = PartsReader(tree, parts)
        try:
            first = await self._storage.call(reader.piece)  # what it raises comes before the answer has begun

            async def pieces() -> AsyncIterator[bytes]:
                piece = first
                while piece:
                    SNAPSHOT_BYTES.inc(len(piece))
                    yield piece
                    piece = await self._storage.call(reader.piece)

            yield pieces()
        finally:
            await self._storage.close(reader)
