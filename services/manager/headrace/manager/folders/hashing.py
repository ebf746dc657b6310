"""Hashing of files that were not uploaded here (a shared storage has other writers), in the background, a job per folder.

Uploads bring their digests with them. All else is read once, by few threads of their own; each digest is kept as soon as
it is made, so that a manager that ends loses at most one file's.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.problems import Conflict, NotFound, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.runtime.disk import in_words
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.known_digests import KnownDigests
from headrace.manager.folders.scanning import ScannedFile
from headrace.manager.folders.tree import OpenFile, Tree

HASHERS: Final = 2
"""Threads that hash, over all folders."""
MAX_JOBS: Final = 100
"""Bound on folders that are hashed or wait for it."""
_BLOCK: Final = 1024 * 1024
_KEPT_AT_ONCE: Final = 100


class HashingJob:
    """Hashing of one folder's files."""

    def __init__(self, files: Sequence[ScannedFile], monotonic: Callable[[], float]) -> None:
        self.files = files
        self.total_bytes = sum(file.identity.size for file in files)
        self.done_bytes = 0
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()  # who waits cannot cancel it
        self._monotonic = monotonic
        self._began = monotonic()

    def unavailable(self) -> Unavailable:
        """Return the refusal of a caller who cannot wait any longer, with the numbers."""
        took = self._monotonic() - self._began
        left_s = max(1.0, (self.total_bytes - self.done_bytes) * took / self.done_bytes) if self.done_bytes else 60.0
        text = (
            f"the SHA-256 of {len(self.files)} files of the folder is being made, which were not uploaded through the API: "
            f"{in_words(self.done_bytes)} of {in_words(self.total_bytes)} are done; try again in about {left_s:.0f} s"
        )
        problem = Unavailable(text, reason=ApiReason.FOLDER_HASHING)
        problem.headers = {"Retry-After": str(max(1, round(min(left_s, 3600))))}
        return problem


class HashingJobs:
    """Jobs of all folders."""

    def __init__(
        self,
        root: Path,
        known: KnownDigests,
        threads: ThreadPoolExecutor,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._known = known
        self._threads = threads
        self._monotonic = monotonic
        self._jobs: dict[FolderId, HashingJob] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self, folder_id: FolderId, files: Sequence[ScannedFile]) -> HashingJob:
        """Begin to hash these files of the folder, and return the job; the one in progress if there is one.

        Raises Unavailable when too many folders wait.
        """
        with self._lock:
            if (job := self._jobs.get(folder_id)) is not None:
                return job
            if len(self._jobs) >= MAX_JOBS:
                text = f"{MAX_JOBS} folders are being hashed or wait for it; try again later"
                raise Unavailable(text, reason=ApiReason.FOLDERS_BUSY)
            job = self._jobs[folder_id] = HashingJob(files, self._monotonic)
            self._threads.submit(self._run, folder_id, job)
        return job

    def stop(self) -> None:
        """End all jobs soon; what was hashed is kept."""
        self._stopped.set()

    def _run(self, folder_id: FolderId, job: HashingJob) -> None:
        made: list[tuple[FileIdentity, str]] = []
        try:
            for file in job.files:
                if (sha256 := self._hash(folder_id, file, job)) is not None:
                    made.append((file.identity, sha256))
                if len(made) >= _KEPT_AT_ONCE or file.identity.size > _BLOCK:
                    self._known.add(folder_id, made)
                    made = []
        finally:
            self._known.add(folder_id, made)
            with self._lock:
                del self._jobs[folder_id]
            job.ended.set_result(None)  # whoever waited looks at the folder again

    def _hash(self, folder_id: FolderId, file: ScannedFile, job: HashingJob) -> str | None:
        """Return the file's SHA-256; None when it is gone, another one, or was written to meanwhile."""
        with suppress(NotFound, Conflict, Unavailable):
            opened = Tree(self._root, folder_id).open_file(tuple(file.source.split("/")))
            try:
                if FileIdentity.of(opened.facts()) != file.identity:
                    return None
                digest = self._read(opened, job)
                return digest if FileIdentity.of(opened.facts()) == file.identity else None
            finally:
                opened.close()
        return None

    def _read(self, opened: OpenFile, job: HashingJob) -> str | None:
        digest, at = hashlib.sha256(), 0
        while block := opened.read_at(at, _BLOCK):
            if self._stopped.is_set():
                return None
            digest.update(block)
            at += len(block)
            job.done_bytes += len(block)
        return digest.hexdigest()
