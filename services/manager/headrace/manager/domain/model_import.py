"""Imports of models: what replicas that wait for one are told, and when a failed one is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headrace.common.contracts.ids import FolderId, ImportId, ProjectId, SnapshotId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.runtime.disk import in_words

FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 600.0


@dataclass(frozen=True)
class Import:
    """An import of one version of a model URI into its folder."""

    id: ImportId
    folder_id: FolderId
    project_id: ProjectId
    project: str
    uri: str
    version: str
    size_bytes: int
    files: int
    done_bytes: int
    bytes_per_s: float | None
    snapshot_id: SnapshotId | None
    """The imported content; None until it is whole."""
    error: str | None
    attempts: int
    next_try_at: datetime
    running: bool
    ended_at: datetime | None

    @property
    def left_s(self) -> float | None:
        """How long it takes still, at the rate since it began; None where that is not known."""
        return (self.size_bytes - self.done_bytes) / self.bytes_per_s if self.running and self.bytes_per_s else None


def wait_reason(found: Import | None) -> tuple[PlacementReason, str]:
    """Return why a session waits whose model is not imported."""
    if found is None or (not found.running and found.error is None):
        return PlacementReason.MODEL_IMPORTING, "the import of its model waits for its turn"
    if not found.running:
        text = f"{found.error} (tried {found.attempts} times, again at {found.next_try_at:%H:%M:%S} UTC)"
        return PlacementReason.MODEL_IMPORT_FAILED, text
    text = f"{in_words(found.done_bytes)} of {in_words(found.size_bytes)} of {found.uri} are here"
    if found.bytes_per_s and found.left_s is not None:
        text += f", {in_words(int(found.bytes_per_s))}/s, about {found.left_s:.0f} s left"
    return PlacementReason.MODEL_IMPORTING, text


def retry_after(attempts: int, *, lasting: bool) -> timedelta:
    """Return after which time a failed import is tried again: 2, 4, 8 … 600 s; 600 s where a repetition is unlikely to help."""
    seconds = LONGEST_RETRY_S if lasting else min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts, 20))
    return timedelta(seconds=seconds)
