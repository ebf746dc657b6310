"""`headrace rollout`: how a service's rollout stands, pause, resume, promote, abort."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Message, Service
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.rollouts import RolloutSide, RolloutView


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"show": show, "pause": pause, "resume": resume, "promote": promote, "abort": abort})


def show(session: Session, service: Service) -> None:
    """Show how the rollout stands: steps, new and old replicas, why it waits, when it would fail."""
    _print(session, session.client.rollouts.get(service))


def pause(session: Session, service: Service, message: Message = "") -> None:
    """Keep the replicas that the new revision has, and start no more, until it is resumed."""
    _print(session, session.client.rollouts.pause(service, message=message))


@changing
def resume(session: Session, service: Service) -> None:
    """Let a paused rollout go on."""
    _print(session, session.client.rollouts.resume(service))


@changing
def promote(
    session: Session,
    service: Service,
    full: Annotated[bool, typer.Option("--full", help="To the end, leaving out the steps that remain.")] = False,
) -> None:
    """Go on to the next canary step, or switch a blue-green rollout."""
    _print(session, session.client.rollouts.promote(service, full=full))


def abort(session: Session, service: Service, message: Message = "") -> None:
    """Go back to the revision that served: its replicas stay, those of the new one leave."""
    _print(session, session.client.rollouts.abort(service, message=message))


def _print(session: Session, rollout: RolloutView) -> None:
    failed = rollout.last_failed
    was = None if failed is None else f"revision {failed.revision}, {cell(failed.at)}: {failed.reason.text}"
    before = "" if rollout.from_revision is None else f" (from {rollout.from_revision})"
    session.output.facts(
        rollout,
        (
            ("revision", f"{rollout.revision}{before}"),
            ("strategy", rollout.strategy),
            ("phase", rollout.phase),
            ("reason", f"{rollout.reason.text} ({rollout.reason.code})"),
            ("step", f"{rollout.step} of {rollout.steps} over" if rollout.steps else None),
            ("new", _side(rollout.new)),
            ("old", _side(rollout.old)),
            ("began", rollout.began_at),
            ("fails at", rollout.deadline_at),
            ("last failed", was),
        ),
    )


def _side(side: RolloutSide) -> str:
    return f"{side.ready} ready of {side.replicas}, {side.wanted} wanted"
