"""Views of uploads."""

from __future__ import annotations

from datetime import datetime, timedelta

from headrace.common.contracts.http.folders import UploadView
from headrace.manager.domain.records.uploads import Upload


def upload_view(
    upload: Upload, by: str, *, received_bytes: int, written_at: datetime, kept_for: timedelta
) -> UploadView:
    """Return an incomplete upload. `by`: the user who began it; `written_at`: time of the last write."""
    return UploadView(
        id=upload.id,
        path=upload.path,
        size_bytes=upload.size_bytes,
        received_bytes=received_bytes,
        created_by=by,
        created_at=upload.created_at,
        written_at=written_at,
        expires_at=written_at + kept_for,
    )
