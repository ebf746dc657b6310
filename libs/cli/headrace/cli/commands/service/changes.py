"""`headrace service update|rollback|restart|retry|history|revisions|decisions|errors`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Message, Service, Timeout
from headrace.cli.commands.service.core import Wait, finish
from headrace.cli.commands.service.resolution_view import DryRun, show_resolution
from headrace.cli.commands.service.rollout_flags import RolloutFlags
from headrace.cli.commands.service.spec_flags import SpecFlags, overlaid
from headrace.cli.commands.service.unset import FIELDS, OF_THE_SPEC, unset_of_service, without
from headrace.cli.commands.service.view import END_COLUMNS, ERROR_COLUMNS
from headrace.cli.commands.suggestions import complete_group, complete_revision
from headrace.cli.output import Columns
from headrace.cli.parsing import document, pairs, usage
from headrace.cli.session import Session
from headrace.cli.text import number
from headrace.common.contracts.http.decisions import ScaleDecisionView
from headrace.common.contracts.http.history import HistoryEntry
from headrace.common.contracts.http.revisions import RevisionView
from headrace.common.contracts.http.services import ServiceDetail, UpdateService
from headrace.common.contracts.problems import PreconditionFailed
from headrace.common.contracts.revision import RevisionSpec
from headrace.sdk.errors import ApiError

_TRIES = 3
"""How often a change is made of a service that others change at the same time."""

_HISTORY: Columns[HistoryEntry] = (
    ("AT", lambda h: h.at),
    ("WHO", lambda h: h.actor),
    ("WHAT", lambda h: h.action),
    ("REVISION", lambda h: h.details.get("revision", "-")),
    ("MESSAGE", lambda h: h.message or "-"),
)
_REVISIONS: Columns[RevisionView] = (
    ("REVISION", lambda r: r.number),
    ("CREATED", lambda r: r.created_at),
    ("BY", lambda r: r.created_by),
    ("RUNTIME", lambda r: r.spec.runtime),
    ("MESSAGE", lambda r: r.message or "-"),
)
_DECISIONS: Columns[ScaleDecisionView] = (
    ("AT", lambda d: d.at),
    ("BY", lambda d: d.source),
    ("REPLICAS", lambda d: f"{d.from_replicas} -> {d.to_replicas}"),
    ("OBSERVED", lambda d: number(round(d.observed, 6)) if d.observed is not None else "-"),
    ("REASON", lambda d: d.reason.text),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "update": update,
            "rollback": rollback,
            "restart": restart,
            "retry": retry,
            "history": history,
            "revisions": revisions,
            "decisions": decisions,
            "errors": errors,
        },
    )


def update(
    session: Session,
    service: Service,
    spec: SpecFlags,
    rollout: RolloutFlags,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="The new revision's whole spec as YAML or JSON; flags win over it."
        ),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh", help="Take the files of the model folder or URI as they are now, also without any change."
        ),
    ] = False,
    refresh_secrets: Annotated[
        bool,
        typer.Option(
            "--refresh-secrets",
            help="Take the newest versions of its secrets, also without any change; without it an update keeps those it has.",
        ),
    ] = False,
    unset_env: Annotated[list[str] | None, typer.Option("--unset-env", metavar="NAME", help="Repeatable.")] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset",
            metavar="FIELD",
            help=f"As for a new service; before what other flags set. Of several one: slot=cpu, env=A, mount=FOLDER. "
            f"Fields: {', '.join(FIELDS)}. Repeatable.",
        ),
    ] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", "-n", help="Wanted replicas.")] = None,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Takes effect at once, without a restart.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for, in words.")] = None,
    resource_group: Annotated[
        str | None,
        typer.Option("--resource-group", help="Roll it out on machines of this group.", autocompletion=complete_group),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="A=B", help="All of it. Repeatable.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All of them. Repeatable.")] = None,
    drain_grace: Annotated[
        float | None,
        typer.Option("--drain-grace", metavar="SECONDS", help="How long open requests may take to finish."),
    ] = None,
    endpoint_port: Annotated[
        int | None,
        typer.Option(
            "--endpoint-port", metavar="PORT", help="A port of its own at the app-proxy, 10000 to 19999; 0: none."
        ),
    ] = None,
    message: Message = "",
    if_match: Annotated[
        str | None,
        typer.Option(
            "--if-match",
            metavar="ETAG",
            help="Refuse it if the service was changed since: what --dry-run prints, or `etag` of service show --json.",
        ),
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> None:
    """Change a service without downtime. Only given values change; changes of the spec roll out a new revision.

    A new revision has the files of the model folder as they are at that moment; --refresh makes one when only files have
    changed.

    For load balancing, queue and limits see headrace service traffic. With --wait it returns once the new replicas
    serve and the old ones have left, and prints what became of open requests.
    """
    gone = unset or []
    emptied = unset_of_service(gone)
    changes = {
        "refresh_secrets": refresh_secrets or None,
        "replicas": replicas,
        "open_to_public": public,
        "description": description,
        "resource_group": resource_group,
        "metadata": pairs(metadata, "--metadata") if metadata else None,
        "tags": tag or None,
        "drain_grace_s": drain_grace,
        "endpoint_port": endpoint_port,
        **rollout.given(),
    }
    given = emptied | {name: value for name, value in changes.items() if value is not None}

    def asked() -> tuple[UpdateService, str | None]:
        """Return the change, and the entity tag of the service that it was made of."""
        new, seen = _new_spec(session, service, spec.given(), file, unset_env or [], gone, refresh=refresh)
        whole = given if new is None else {"spec": new, **given}
        if not whole:
            raise usage("nothing to change; see headrace service update --help")
        return UpdateService.model_validate({**whole, "message": message}), if_match or seen

    if dry_run:
        show_resolution(session, session.client.services.resolve_update(service, asked()[0]))
        return
    found, rolls_out = _change(session, service, asked, tries=1 if if_match else _TRIES)
    finish(session, found, "healthy" if wait else None, timeout, rollout=rolls_out or refresh_secrets)


def _change(
    session: Session, service: str, asked: Callable[[], tuple[UpdateService, str | None]], *, tries: int
) -> tuple[ServiceDetail, bool]:
    """Change the service as it is read, again if it was changed in between. Return it, and whether a revision was asked for."""
    body, seen = asked()
    try:
        rolls_out = body.spec is not None or "resource_group" in body.model_fields_set
        return session.client.services.update(service, body, if_match=seen), rolls_out
    except ApiError as error:
        if error.type != PreconditionFailed.type or tries <= 1:
            raise
    return _change(session, service, asked, tries=tries - 1)


def _new_spec(
    session: Session,
    service: str,
    flags: dict[str, Any],
    file: Path | None,
    unset_env: list[str],
    unset: list[str],
    *,
    refresh: bool,
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the whole new spec: the file or the current revision, without `unset`, with the flags on it; None if
    unchanged. With it the entity tag of the service whose revision was read, if one was.
    """
    of_spec = [item for item in unset if item.partition("=")[0] in OF_THE_SPEC]
    if file is None and not flags and not unset_env and not of_spec and not refresh:
        return None, None
    seen = None
    if file is not None:
        below = document(file)
    else:
        found = session.client.services.get(service)
        number, seen = found.revision, found.etag or None  # after a roll-back not the newest
        current = next(revision for revision in session.client.services.revisions(service) if revision.number == number)
        below = current.spec.model_dump(mode="json", exclude_defaults=True)
    new = overlaid(without(below, of_spec), flags)
    environ = {name: value for name, value in (new.get("environ") or {}).items() if name not in unset_env}
    new = {**new, "environ": environ}
    if new.get("masked"):
        gone = (below.get("environ") or {}).keys() - environ.keys()
        new["masked"] = [name for name in new["masked"] if name not in gone]
    RevisionSpec.model_validate(new)  # so that errors name the field as it is in the file
    return new, seen


def rollback(
    session: Session,
    service: Service,
    revision: Annotated[
        int,
        typer.Argument(
            metavar="REVISION", min=1, help="See: headrace service revisions.", autocompletion=complete_revision
        ),
    ],
    message: Message = "",
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> None:
    """Roll out an earlier revision again, as a new one."""
    found = session.client.services.rollback(service, revision, message=message)
    finish(session, found, "healthy" if wait else None, timeout, rollout=True)


@changing
def restart(session: Session, service: Service, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """Replace all replicas without downtime, for example after files in the folder changed."""
    found = session.client.services.restart(service)
    finish(session, found, "healthy" if wait else None, timeout, rollout=True)


@changing
def retry(session: Session, service: Service, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """Clear the errors of failed starts and start again at once. Definition files are read again."""
    finish(session, session.client.services.retry(service), "healthy" if wait else None, timeout)


def history(session: Session, service: Service) -> None:
    """List the changes: who, what, when and why; newest first. For a revision's spec: headrace service show --revision."""
    session.output.table(session.client.services.history(service), _HISTORY, empty="no history")


def revisions(session: Session, service: Service) -> None:
    """List the revisions. For one with its spec: headrace service show --revision; --json prints the specs of all."""
    session.output.table(session.client.services.revisions(service), _REVISIONS, empty="no revisions")


def decisions(session: Session, service: Service) -> None:
    """List the changes of the number of replicas, by users and by rules, with the observed values; newest first."""
    session.output.table(session.client.services.decisions(service), _DECISIONS, empty="no changes of the replicas yet")


def errors(session: Session, service: Service) -> None:
    """List the errors of failed starts, and the replicas that ended while in operation; newest first."""
    found = session.client.services.get(service)
    if session.output.as_json:
        session.output.record(
            {
                "errors": [error.model_dump(mode="json") for error in found.errors],
                "ends": [end.model_dump(mode="json") for end in found.ends],
            }
        )
        return
    if found.errors or not found.ends:
        session.output.table(found.errors, ERROR_COLUMNS, empty="no errors")
    if found.ends:
        session.output.table(found.ends, END_COLUMNS, empty="")
        session.output.line(f"log of one: headrace service logs {found.name} --replica {found.ends[0].session_id}")
