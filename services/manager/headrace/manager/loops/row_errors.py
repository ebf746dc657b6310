"""Error isolation of rows: a row that a loop cannot handle is logged, counted and skipped.

A bad row fails alone, and never the pass.
"""

from __future__ import annotations

import structlog
from pydantic import ValidationError

from headrace.manager.metrics import SKIPPED_ROWS
from headrace.manager.usecases.ports import LoopName

log = structlog.get_logger()


def skip_row(loop: LoopName, error: Exception, *, known: bool = False, **row: str) -> None:
    """Count a skipped row, and log it unless it is `known`: it recurs in each pass."""
    SKIPPED_ROWS.labels(loop).inc()
    if not known:
        log.error("row_skipped", loop=loop, **row, exc_info=error)


def error_text(error: Exception) -> str:
    """Return the error text without the row's content, which may be secret."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:3])
    return f"{type(error).__name__}: {error}"
