"""Conversion of request bodies about tokens and named clients into records."""

from __future__ import annotations

from headrace.common.contracts.http.tokens import UpdateCaller
from headrace.manager.domain.records.tokens import CallerChange

USUAL_SHARE = 1


def caller_change(body: UpdateCaller) -> CallerChange:
    """Return the change of a caller: null removes all limits, and resets the share."""
    given = body.model_fields_set
    return CallerChange(
        limits=None if body.limits is None else body.limits.model_dump(exclude_unset=True),
        clear=body.limits is None and "limits" in given,
        share=(body.share or USUAL_SHARE) if "share" in given else None,
    )
