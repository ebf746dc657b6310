"""`headrace events`: what changes, as it does."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.session import Session
from headrace.common.contracts.http.live_events import LiveChange, LiveReady, LiveReset


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "events")(events)


def events(
    session: Session,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    project: OfProject = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="ID", help="Id of an event: begin with what changed after it.")
    ] = None,
) -> None:
    """Print what changes: kind, id and project of each thing, and the id of the event.

    Without --follow: what changed after --since, and the id of the last event. With --json each event is one line.
    """
    output = session.output
    with session.client.events.follow(project=project, since=since, follow=follow, on_notice=output.note) as stream:
        for event in stream:
            if output.as_json:
                output.record({"event": _name(event), "event_id": stream.last_id, **event.model_dump(mode="json")})
            elif isinstance(event, LiveChange):
                output.line(f"{event.kind}  {event.id}  {event.project or '-'}  {stream.last_id}")
            elif isinstance(event, LiveReset):
                output.note("changes may have been missed: read everything again")
            elif follow:
                output.note(f"following, from event {stream.last_id} on (Ctrl-C ends)")
            else:
                output.line(f"last event: {stream.last_id}")


def _name(event: LiveChange | LiveReset | LiveReady) -> str:
    return "change" if isinstance(event, LiveChange) else "reset" if isinstance(event, LiveReset) else "ready"
