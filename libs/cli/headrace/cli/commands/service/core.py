"""`headrace service create|show|manifest|wait|scale|start|stop|rm`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Message, Project, Service, Timeout, Yes, confirmed
from headrace.cli.commands.manifest import show_manifest
from headrace.cli.commands.service.receipts import receipt_line
from headrace.cli.commands.service.resolution_view import DryRun, show_resolution
from headrace.cli.commands.service.rollout_flags import RolloutFlags
from headrace.cli.commands.service.spec_flags import SpecFlags, overlaid
from headrace.cli.commands.service.spec_view import show_effective, show_revision
from headrace.cli.commands.service.traffic_flags import TrafficFlags
from headrace.cli.commands.service.view import further_urls, show_service
from headrace.cli.commands.service.waiting import wait_for, wait_for_receipt
from headrace.cli.commands.suggestions import complete_group, complete_replica, complete_revision
from headrace.cli.parsing import document, pairs, usage
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.services import CreateService, ServiceDetail
from headrace.sdk import Until

Wait = Annotated[
    bool, typer.Option("--wait", "-w", help="Wait until the change is in effect; exit code 5 when it fails.")
]


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "create": create,
            "show": show,
            "manifest": manifest,
            "wait": wait,
            "scale": scale,
            "start": start,
            "stop": stop,
            "rm": rm,
        },
    )


@changing
def create(
    session: Session,
    spec: SpecFlags,
    traffic: TrafficFlags,
    rollout: RolloutFlags,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="May stand in --file.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Request as YAML or JSON; flags win over it.")
    ] = None,
    project: Project = None,
    replicas: Annotated[int | None, typer.Option("--replicas", "-n", help="Wanted replicas (default 1).")] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Whether callers need no token.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for, in words.")] = None,
    resource_group: Annotated[
        str | None,
        typer.Option(
            "--resource-group",
            help="Machines to use (default: the group of the project, else default).",
            autocompletion=complete_group,
        ),
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option("--metadata", metavar="A=B", help="Repeatable.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Repeatable.")] = None,
    drain_grace: Annotated[
        float | None,
        typer.Option(
            "--drain-grace", metavar="SECONDS", help="How long open requests may take to finish (default 60)."
        ),
    ] = None,
    endpoint_port: Annotated[
        int | None,
        typer.Option("--endpoint-port", metavar="PORT", help="A port of its own at the app-proxy, 10000 to 19999."),
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> None:
    """Create a service. With --wait it returns once the service is healthy."""
    asked = {
        "name": name,
        "project": project,
        "replicas": replicas,
        "open_to_public": public,
        "description": description,
        "resource_group": resource_group,
        "metadata": pairs(metadata, "--metadata") if metadata else None,
        "tags": tag or None,
        "drain_grace_s": drain_grace,
        "endpoint_port": endpoint_port,
    }
    flags = {
        **spec.given(),
        **traffic.given(),
        **rollout.given(),
        **{field: value for field, value in asked.items() if value is not None},
    }
    body = overlaid(document(file) if file else {}, flags)
    if "name" not in body:
        raise usage("a name is missing: headrace service create NAME, or name: in --file")
    asked_for = CreateService.model_validate(session.with_project(body))
    create_service(session, asked_for, dry_run=dry_run, wait=wait, timeout=timeout)


def create_service(session: Session, asked_for: CreateService, *, dry_run: bool, wait: bool, timeout: float) -> None:
    """Create a service and show it, once it is healthy if `wait`; in a dry run show what it would come to."""
    if dry_run:
        show_resolution(session, session.client.services.resolve(asked_for))
        return
    service = session.client.services.create(asked_for)
    if wait and service.replicas:
        finish(session, service, "healthy", timeout)
    else:
        show_service(session, service)
    if service.note is not None:
        session.output.note(f"note: {service.note.text}")


def show(
    session: Session,
    service: Service,
    revision: Annotated[
        int | None,
        typer.Option(
            "--revision",
            metavar="REVISION",
            min=1,
            help="Instead: what this revision's replicas start with.",
            autocompletion=complete_revision,
        ),
    ] = None,
    effective: Annotated[
        bool, typer.Option("--effective", help="Instead: each effective value, and where it comes from.")
    ] = False,
    replica: Annotated[
        str | None,
        typer.Option(
            "--replica",
            metavar="REPLICA",
            help="Instead: what this replica, live or ended, was started with.",
            autocompletion=complete_replica,
        ),
    ] = None,
) -> None:
    """Show a service: state and reason, endpoint, effective spec, replicas, errors."""
    if replica is not None:
        if revision is not None:
            raise usage("--replica and --revision exclude each other: a replica has one revision")
        show_effective(session, service, session.client.services.replica(service, replica).revision)
        return
    if effective:
        number = session.client.services.get(service).revision if revision is None else revision
        show_effective(session, service, number)
        return
    if revision is not None:
        show_revision(session, service, revision)
        return
    show_service(session, session.client.services.get(service))


def manifest(
    session: Session,
    service: Service,
    revision: Annotated[
        int | None,
        typer.Option(
            "--revision",
            metavar="REVISION",
            min=1,
            help="Instead of the current one.",
            autocompletion=complete_revision,
        ),
    ] = None,
) -> None:
    """List the files that a revision's replicas see as model folder, with size and SHA-256."""
    number = session.client.services.get(service).revision if revision is None else revision
    show_manifest(session, session.client.services.manifest(service, number))


def wait(
    session: Session,
    service: Service,
    until: Annotated[Until, typer.Option("--for", help="What to wait for.")] = "healthy",
    timeout: Timeout = 600.0,
) -> None:
    """Wait for a state of the service and show its progress. On failure: its reason, the failed replica's log, exit
    code 5.
    """
    found = wait_for(session, service, until, timeout)
    if session.output.as_json:
        session.output.record(found if found is not None else {"gone": service})
    elif found is None:
        session.output.line(f"{service} is gone")


def scale(
    session: Session,
    service: Service,
    replicas: Annotated[int, typer.Argument(metavar="REPLICAS", help="Wanted replicas.", min=0, max=10_000)],
    message: Message = "",
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> None:
    """Change the number of replicas; the least healthy are removed first, after draining."""
    found = session.client.services.scale(service, replicas, message=message)
    finish(session, found, "healthy" if wait else None, timeout)


@changing
def start(session: Session, service: Service, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """Start a stopped service."""
    finish(session, session.client.services.start(service), "healthy" if wait else None, timeout)


@changing
def stop(session: Session, service: Service, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """Drain and stop all replicas; everything else is kept."""
    finish(session, session.client.services.stop(service), "stopped" if wait else None, timeout)


@changing
def rm(session: Session, service: Service, yes: Yes = False, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """Delete a service with its tokens, rules and history; its name is free once its replicas have stopped."""
    confirmed(f"delete the service {service}, with its tokens, rules and history?", yes=yes)
    left = session.client.services.delete(service)
    if left is not None and wait:
        wait_for(session, str(left.id), "gone", timeout)
        left = None
    facts: dict[str, Any] = {"deleted": service, "gone": left is None}
    session.output.done(
        f"deleted {service}" if left is None else f"{service} drains and stops: {left.reason.text}", **facts
    )


def finish(
    session: Session, service: ServiceDetail, until: Until | None, timeout_s: float, *, rollout: bool = False
) -> None:
    """Wait if asked to, then print the service in short (or its JSON); after a `rollout` its receipt too."""
    started = time.monotonic()
    revision = service.revision if rollout else None
    found = service if until is None else wait_for(session, service.name, until, timeout_s, revision=revision)
    receipt = None
    if rollout and until is not None:
        receipt = wait_for_receipt(session, service, max(1.0, timeout_s - (time.monotonic() - started)))
    if session.output.as_json:
        view = found or service
        session.output.record(
            view if receipt is None else {**view.model_dump(mode="json"), "receipt": receipt.model_dump(mode="json")}
        )
    elif found is not None:
        output = session.output
        output.line(
            f"{found.name} is {found.status}, {found.phase}: {found.healthy_replicas} of {found.replicas} replicas healthy"
        )
        output.line(f"endpoint: {found.endpoint}")
        for name, words in further_urls(found):
            output.line(cell(f"{name}: {words}"))
        if service.note is not None:
            output.line(service.note.text)
        if receipt is not None:
            output.line(receipt_line(receipt))
