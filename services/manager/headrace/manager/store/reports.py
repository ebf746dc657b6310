"""Queries: machines' newest reports, and the kernel state in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import KernelReport, NodeReport, Transfer
from headrace.common.contracts.reasons import MAX_QUOTED
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.addresses import AddressPolicy, ReportedAddress
from headrace.manager.domain.machine_removal import in_words
from headrace.manager.domain.records.reports import AcceptedReport

SQL = Queries.beside(__file__)
FIRST_REPORTS = 3
"""A restarted agent may not have found all its kernels when it sends its first reports."""


_MAX_GENERATION = 1 << 62
_MAX_FAILED_CHECKS = 100
"""Count of failed checks beyond which a further one is not stored."""


async def renew_unchanged(
    con: Connection, reports: Sequence[NodeReport], digests: Mapping[AgentId, str], lost_after: timedelta
) -> set[AgentId]:
    """Renew the report time of machines whose report (by digest) is stored already; return those."""
    rows = [_heard(report, digests[report.agent_id]) for report in reports]
    return {row["id"] for row in await con.fetch(SQL.renew_unchanged, rows, lost_after)}


async def store(
    con: Connection, reports: Sequence[NodeReport], digests: Mapping[AgentId, str], lost_after: timedelta
) -> dict[AgentId, AcceptedReport]:
    """Store machines' reports. Return the accepted ones (neither old nor delayed).

    With each: whether its capacity may have changed (new, returned, or other slots), and its allowed addresses.
    """
    rows = []
    for report in reports:
        machine = report.machine.model_dump(mode="json")
        rows.append(
            {
                **_heard(report, digests[report.agent_id]),
                "machine": machine,
                "architecture": report.machine.architecture,
                "slots": machine["slots"],
                "kernels": [kernel.model_dump(mode="json") for kernel in report.kernels],
                "applied_generation": report.applied_generation,
                "plan_key": report.machine.plan_key,
            }
        )
    said = {report.agent_id: report.machine.address for report in reports}
    return {
        row["id"]: AcceptedReport(
            row["changed_capacity"],
            ReportedAddress(row["id"], said[row["id"]], row["addresses"], row["address_problem"]),
        )
        for row in await con.fetch(SQL.heard, rows, lost_after)
    }


async def refused(con: Connection, reports: Sequence[NodeReport]) -> dict[AgentId, str]:
    """Return which of these machines were removed, with who did and why, each once a minute."""
    machines, generations = (
        [r.agent_id for r in reports],
        [min(r.applied_generation, _MAX_GENERATION) for r in reports],
    )
    rows = await con.fetch(SQL.refused, machines, generations)
    return {row["id"]: in_words(row["removed_by"], row["removed_at"], row["reason"]) for row in rows}


async def apply_kernels(
    con: Connection, reports: Sequence[NodeReport], places: AddressPolicy, problems: Mapping[str, str | None]
) -> int:
    """Store the kernels' state, at allowed addresses, and update their sessions. Return how many sessions changed.

    `problems`: why a machine's address is refused.
    """
    rows = [
        _kernel(report.agent_id, places.judge(kernel, report.machine.address, problems.get(report.agent_id)))
        for report in reports
        for kernel in report.kernels
    ]
    changed = len(await con.fetch(SQL.apply_kernels, rows)) if rows else 0
    complete = [report for report in reports if report.sequence >= FIRST_REPORTS]
    if complete:
        shown = [
            {"agent_id": report.agent_id, "kernel_id": str(k.kernel_id)} for report in complete for k in report.kernels
        ]
        changed += len(await con.fetch(SQL.vanished, [report.agent_id for report in complete], shown))
    return changed


async def foreign(con: Connection, reports: Sequence[NodeReport]) -> dict[AgentId, int]:
    """Return which of these machines report kernels of other machines, and how many."""
    shown = [{"agent_id": report.agent_id, "kernel_id": str(k.kernel_id)} for report in reports for k in report.kernels]
    return {row["agent_id"]: row["kernels"] for row in await con.fetch(SQL.foreign, shown)} if shown else {}


def _heard(report: NodeReport, digest: str) -> dict[str, Any]:
    return {
        "agent_id": report.agent_id,
        "incarnation": report.incarnation,
        "sequence": report.sequence,
        "taken_at": report.sent_at.isoformat(),
        "digest": digest,
    }


def _transfer(transfer: Transfer) -> dict[str, Any]:
    problem = transfer.problem and transfer.problem[:MAX_QUOTED]
    return transfer.model_copy(update={"problem": problem}).model_dump(mode="json", exclude_none=True)


def _kernel(agent_id: AgentId, k: KernelReport) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "kernel_id": str(k.kernel_id),
        "state": k.state,
        "health": k.health,
        "reason_code": k.reason.code,
        "reason_text": k.reason.text,
        "host": k.host,
        "port": k.port,
        "exit_code": k.exit_code,
        "failures": min(k.failures, _MAX_FAILED_CHECKS),
        "created_at": k.created_at.isoformat() if k.created_at else None,
        "transfer": _transfer(k.transfer) if k.transfer else None,
    }


async def lose_silent(con: Connection, after: timedelta, *, besides: Sequence[str]) -> list[AgentId]:
    """Mark machines lost that have not reported for `after`, except those of `besides`; return the newly lost ones."""
    return [row["id"] for row in await con.fetch(SQL.lose_silent, after, besides)]
