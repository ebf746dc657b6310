"""`headrace service traffic|weight|replace`: load balancing, queue, limits, model names, CORS; single replicas."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Message, Service
from headrace.cli.commands.service.traffic_flags import TrafficFlags, traffic_facts
from headrace.cli.commands.service.view import replica_lines
from headrace.cli.commands.suggestions import complete_replica
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.common.contracts.http.replicas import MAX_WEIGHT
from headrace.common.contracts.http.services import ServiceView, UpdateService


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"traffic": traffic, "weight": weight, "replace": replace})


def traffic(
    session: Session,
    service: Service,
    flags: TrafficFlags,
    reset: Annotated[bool, typer.Option("--reset", help="All of it as for a new service.")] = False,
    message: Message = "",
) -> None:
    """Show or change load balancing, queue, limits, model names and CORS.

    Changes apply within a second, without a restart.
    """
    given = flags.given()
    if reset and given:
        raise usage("--reset goes with no other setting; allowed: --reset alone, then the settings")
    if reset:
        given = {"balance": None, "limits": None, "caller_limits": None, "models": [], "cors": None}
    if not given:
        if message:
            raise usage("nothing to change; see headrace service traffic --help")
        _show(session, session.client.services.get(service))
        return
    change = UpdateService.model_validate({**given, "message": message})
    _show(session, session.client.services.update(service, change))


@changing
def weight(
    session: Session,
    service: Service,
    replica: Annotated[
        str,
        typer.Argument(metavar="REPLICA", help="Its id; see: headrace service show.", autocompletion=complete_replica),
    ],
    share: Annotated[int, typer.Argument(metavar="WEIGHT", min=0, max=MAX_WEIGHT, help="100 is usual, 0 is none.")],
) -> None:
    """Set a replica's traffic weight relative to the others'; applies within a second, until the replica is replaced."""
    found = session.client.services.set_weight(service, replica, share)
    if session.output.as_json:
        session.output.record(found)
    for line in replica_lines([found]):
        session.output.line(line)


def replace(
    session: Session,
    service: Service,
    replica: Annotated[
        str,
        typer.Argument(metavar="REPLICA", help="Its id; see: headrace service show.", autocompletion=complete_replica),
    ],
    message: Message = "",
) -> None:
    """Replace one replica: another one starts, and this one drains once that serves."""
    found = session.client.services.replace(service, replica, message=message)
    if session.output.as_json:
        session.output.record(found)
        return
    session.output.line(
        f"{found.id} leaves once another replica serves in its place; see headrace service show {service}"
    )


def _show(session: Session, service: ServiceView) -> None:
    if not session.output.as_json:
        session.output.facts(service, [("service", service.name), *traffic_facts(service)])
        return
    facts: dict[str, Any] = service.model_dump(mode="json")
    names = ("name", "fleet_endpoint", "models", "balance", "limits", "caller_limits", "cors")
    session.output.record({name: facts[name] for name in names})
