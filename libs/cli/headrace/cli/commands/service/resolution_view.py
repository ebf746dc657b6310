"""Output of dry runs: `headrace service create|update --dry-run`."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated

import typer

from headrace.cli.commands.service.spec_view import VALUES, effective_values, mount_words, secret_words
from headrace.cli.errors import ExitCode
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import cell, slots
from headrace.common.contracts.http.resolutions import (
    QuotaNeed,
    ReplicasFit,
    ResolutionProblem,
    ResolutionView,
    ValueChange,
)
from headrace.common.contracts.http.revisions import EffectiveMount
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.contracts.slots import SIZES
from headrace.common.text.counting import count

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Change nothing: print the effective values and where they come from, the quota that is needed, what would be "
        "rolled out, and all that is wrong; exit code 1 if anything is.",
    ),
]
_QUOTA: Columns[QuotaNeed] = (
    ("SLOT", lambda n: n.slot),
    ("NEEDED", lambda n: _amount(n, n.needed)),
    ("USED BY OTHERS", lambda n: _amount(n, n.used)),
    ("LIMIT", lambda n: "none" if n.limit is None else _amount(n, n.limit)),
    ("LEFT", lambda n: "-" if n.left is None else _amount(n, n.left)),
)
_CHANGES: Columns[ValueChange] = (
    ("CHANGES", lambda c: c.field),
    ("FROM", lambda c: _value(c.field, c.before)),
    ("TO", lambda c: _value(c.field, c.after)),
)
_EFFECTS = {
    "create": "would be created, with this as revision 1",
    "rollout": "would roll out revision {revision}, without downtime",
    "live": "would change at once; no replica is replaced",
    "nothing": "would change nothing",
    None: "cannot be resolved",
}


def show_resolution(session: Session, found: ResolutionView) -> None:
    """Print what the request comes to. Exits with FAILED if it would be refused."""
    output = session.output
    if output.as_json:
        output.record(found)
    else:
        output.line(
            f"{found.service} in project {found.project} {_EFFECTS[found.effect].format(revision=found.revision)}"
        )
        if found.effective is not None:
            output.table(effective_values(found.effective, found.origins), VALUES, empty="")
        for heading, changes in (("rolled out:", found.rolls_out), ("at once:", found.live)):
            if changes:
                output.line(heading)
                output.table(changes, _CHANGES, empty="")
        if found.quota:
            output.line("quota of the project:")
            output.table(found.quota, _QUOTA, empty="")
        if found.note is not None:
            output.note(f"note: {found.note.text}")
        for line in (*_fit_lines(found.fit), *_problem_lines(found.problems)):
            output.line(line)
        if found.etag and not found.problems:
            output.line(f"to change the service as it is now, or not at all: --if-match {found.etag}")
    if found.problems:
        raise typer.Exit(ExitCode.FAILED)


def _fit_lines(fit: ReplicasFit | None) -> list[str]:
    """Return whether the replicas that would start would be placed now."""
    if fit is None:
        return []
    what = count(fit.replicas, "replica")
    return [
        f"fits now: {what} would be placed"
        if fit.reason is None
        else f"fits now: {fit.placed} of {what} would be placed; {fit.reason.text}"
    ]


def _problem_lines(problems: tuple[ResolutionProblem, ...]) -> list[str]:
    lines = [f"{count(len(problems), 'problem')}, nothing was changed:"] if problems else []
    for problem in problems:
        lines.append(
            cell(f"  {_place(problem)}: {problem.detail if problem.allowed is None else f'found {problem.found}'}")
        )
        if problem.allowed is not None:
            lines.append(cell(f"    allowed: {problem.allowed}"))
    return lines


def _place(problem: ResolutionProblem) -> str:
    if problem.file is None:
        return problem.field or problem.type
    line = f" line {problem.line}" if problem.line is not None else ""
    return f"{problem.file}{line}: {problem.path or '(file)'}"


def _amount(need: QuotaNeed, amount: Decimal) -> str:
    """Format an amount of the slot, as it is typed."""
    if need.slot in SIZES and amount >= 0:
        return slots({need.slot: amount}).partition("=")[2]
    return f"{amount.normalize():f}"


def _value(field: str, value: object) -> str:
    """Format a value as the table of effective values does."""
    if value is None:
        return "-"
    if field.startswith("secrets["):
        return secret_words(PinnedSecret.model_validate(value))
    if field.startswith("mounts["):
        return mount_words(EffectiveMount.model_validate(value))
    return value if isinstance(value, str) else json.dumps(value, default=str)
