"""Views of imports of models."""

from __future__ import annotations

from headrace.common.contracts.http.model_imports import ModelImport
from headrace.manager.domain.model_import import Import


def model_import_view(found: Import) -> ModelImport:
    """Return how far an import is."""
    failed = found.error is not None and not found.running
    return ModelImport(
        state="done" if found.snapshot_id else "running" if found.running else "failed" if failed else "waiting",
        done_bytes=found.done_bytes,
        size_bytes=found.size_bytes,
        bytes_per_s=found.bytes_per_s,
        eta_s=found.left_s,
        error=found.error,
        attempts=found.attempts,
        next_try_at=found.next_try_at if failed and found.snapshot_id is None else None,
        imported_at=found.ended_at,
    )
