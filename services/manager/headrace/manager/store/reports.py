"""What machines said last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import NodeReport
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)
_FIRST_REPORTS = 3
"""A restarted agent may not have found all its kernels when it sends its first reports."""


async def keep(con: Connection, report: NodeReport) -> bool | None:
    """Write the machine's row. Returns whether its capacity may have changed (new, back, other slots); None for an old report."""
    machine = report.machine.model_dump(mode="json")
    kernels = [kernel.model_dump(mode="json") for kernel in report.kernels]
    row = await con.fetchrow(
        SQL.heard, report.agent_id, report.incarnation, report.sequence, machine, report.machine.architecture, machine["slots"], kernels,
        report.applied_generation,
    )  # fmt: skip
    return None if row is None else bool(row["new"] or row["changed_capacity"])


async def apply_kernels(con: Connection, report: NodeReport) -> int:
    """Write the kernels' state and let their sessions follow. Returns how many sessions and kernels changed."""
    rows = [
        {
            "kernel_id": str(k.kernel_id), "state": k.state, "health": k.health, "reason_code": k.reason.code, "reason_text": k.reason.text,
            "host": k.host, "port": k.port, "exit_code": k.exit_code, "created_at": k.created_at.isoformat() if k.created_at else None,
        }
        for k in report.kernels
    ]  # fmt: skip
    changed = len(await con.fetch(SQL.apply_kernels, report.agent_id, rows)) if rows else 0
    if report.sequence >= _FIRST_REPORTS:
        changed += len(await con.fetch(SQL.vanished, report.agent_id, [k.kernel_id for k in report.kernels]))
    return changed


async def lose_silent(con: Connection, after: timedelta, *, besides: Sequence[str]) -> list[AgentId]:
    """Mark machines lost that were not heard of for `after`, without those of `besides`; return those that are newly lost."""
    return [row["id"] for row in await con.fetch(SQL.lose_silent, after, besides)]
