"""Views of trial runs."""

from __future__ import annotations

from headrace.common.contracts.http.validations import ValidationView
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.records.validations import TrialRun


def validation_view(run: TrialRun) -> ValidationView:
    """Return a trial run, with its verdict once there is one."""
    ended = states.leaving(run.status)
    verdict = "passed" if run.was_healthy else "failed" if ended else None
    return ValidationView(
        id=run.id,
        kind="validation",
        status=run.status,
        done=verdict is not None,
        verdict=verdict,
        reason=Reason.read(run.reason_code, run.reason_text),
        started_at=run.created_at,
    )
