"""Output of receipts: `headrace service receipts`, and the line at the end of an update."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.flags import Service
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.common.contracts.http.receipts import Counts, ReceiptView, RolloutReceipt
from headrace.common.text.counting import count


def _state(receipt: ReceiptView) -> str:
    if receipt.ended_at is None:
        return "draining"
    waits = ", ".join(receipt.waiting_for) or "app-proxies"
    return "complete" if receipt.complete else f"waits for {waits}"


_COLUMNS: Columns[ReceiptView] = (
    ("BEGAN", lambda r: r.began_at),
    ("REPLICA", lambda r: r.replica),
    ("REVISION", lambda r: r.revision if r.replaced_by is None else f"{r.revision} -> {r.replaced_by}"),
    ("WHY", lambda r: r.reason.code),
    ("OPEN", lambda r: r.started),
    ("FINISHED", lambda r: r.finished),
    ("RETRIED", lambda r: r.retried),
    ("FAILED", lambda r: r.failed),
    ("CUT", lambda r: r.cut),
    ("SLOWEST", lambda r: f"{r.slowest_s:.3g} s"),
    ("STATE", _state),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"receipts": receipts})


def receipts(
    session: Session,
    service: Service,
    revision: Annotated[
        int | None, typer.Option("--revision", min=1, help="Only of replicas that made way for this revision.")
    ] = None,
    last: Annotated[int, typer.Option("--last", metavar="COUNT", min=1, help="How many at most.")] = 100,
) -> None:
    """List the receipts of replicas that left: what became of their open requests; newest first."""
    found = list(islice(session.client.services.receipts(service, revision=revision), last))
    session.output.table(found, _COLUMNS, empty="no replica has drained yet")
    if revision is not None and not session.output.as_json:
        session.output.note(receipt_line(session.client.services.rollout_receipt(service, revision)))


def receipt_line(receipt: RolloutReceipt) -> str:
    """Format a rollout's receipt as a sentence."""
    if receipt.complete and not receipt.replicas:
        return f"no replica that served had to make way for revision {receipt.revision}"
    words = counts_text(receipt, f"{count(receipt.replicas, 'replica')} that made way for revision {receipt.revision}")
    if receipt.complete:
        return words
    if receipt.draining:
        return (
            f"{words}; so far: {count(receipt.draining, 'replica')} still drain{'s' if receipt.draining == 1 else ''}"
        )
    waits = ", ".join(receipt.waiting_for)
    return f"{words}; so far: {f'{waits} has not told all' if waits else 'not all have left, or not all have told'}"


def counts_text(counts: Counts, replicas: str) -> str:
    """Return what became of the requests that were open on these replicas, as a sentence."""
    if not counts.started:
        return f"no request was open on {replicas}"
    ends = [f"{number} {name}" for name, number in _ends(counts).items() if number or name in {"finished", "failed"}]
    return f"{count(counts.started, 'request')} open on {replicas}: {', '.join(ends)}; the slowest took {counts.slowest_s:.3g} s"


def _ends(counts: Counts) -> dict[str, int]:
    ends = {"finished": counts.finished, "retried": counts.retried, "failed": counts.failed, "cut": counts.cut}
    return {**ends, "not told of": max(0, counts.started - sum(ends.values()))}
