"""Records of receipts of drains."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import SessionId
from headrace.manager.domain.lifecycle.receipts import DrainShares


@dataclass(frozen=True)
class Receipt:
    """Receipt of one replica's drain."""

    session_id: SessionId
    revision: int
    replaced_by: int | None
    reason_code: str
    reason_text: str
    began_at: datetime
    ended_at: datetime | None
    counted: bool
    parts: DrainShares
