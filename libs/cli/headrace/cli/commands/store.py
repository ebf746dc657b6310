"""`headrace store …`: the model store: model folders that can be run as their definition files say."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import OfProject, Project, Timeout
from headrace.cli.commands.service.core import Wait, create_service
from headrace.cli.commands.service.resolution_view import DryRun
from headrace.cli.commands.suggestions import complete_group, complete_model
from headrace.cli.output import Columns
from headrace.cli.parsing import pairs
from headrace.cli.session import Session
from headrace.cli.text import size, slots
from headrace.common.contracts.http.models import ModelDetail, ModelView
from headrace.common.contracts.model import ModelMetadata
from headrace.common.contracts.vocabulary import RuntimeVariant
from headrace.common.text.counting import count
from headrace.sdk.models import service_of

_COLUMNS: Columns[ModelView] = (
    ("NAME", lambda m: f"{m.project}/{m.name}" if m.shared_to_caller else m.name),
    ("PROJECT", lambda m: m.project),
    ("TITLE", lambda m: _said(m.metadata, "title")),
    ("TASK", lambda m: _said(m.metadata, "task")),
    ("LICENCE", lambda m: _said(m.metadata, "license")),
    ("SIZE", lambda m: size(m.size_bytes)),
    ("RUNTIME", lambda m: m.runtime or "-"),
    ("NEEDS", lambda m: slots(m.needs) if m.needs else "-"),
    ("FITS", lambda m: "files are wrong" if m.fit is None else "yes" if m.fit.fits else "no"),
)
Model = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name or id of the folder, or PROJECT/FOLDER.",
        autocompletion=complete_model,
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--resource-group",
        metavar="GROUP",
        help="Machines by which it is judged (default: the group of the project, else default).",
        autocompletion=complete_group,
    ),
]


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"ls": ls, "show": show, "run": run})


def ls(
    session: Session,
    q: Annotated[
        str | None, typer.Option("--query", "-q", metavar="TEXT", help="Only with this in a name or the metadata.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only for this task.")] = None,
    resource_group: Group = None,
    project: OfProject = None,
) -> None:
    """List the model store: folders with model-definition.yaml and service-definition.toml, and whether a replica would
    be placed now.
    """
    found = session.client.models.list(q=q, task=task, project=project, resource_group=resource_group)
    session.output.table(found, _COLUMNS, empty="no model folder here has both definition files")


def show(session: Session, model: Model, resource_group: Group = None, project: Project = None) -> None:
    """Show a model: what its definition files say, what a replica needs at least, and whether it would be placed now."""
    of = session.project(project, of=model)
    found = session.client.models.get(model, project=of, resource_group=resource_group)
    session.output.facts(found, _facts(found))


@changing
def run(
    session: Session,
    model: Model,
    name: Annotated[str | None, typer.Option("--name", metavar="SERVICE", help="Default: the folder's name.")] = None,
    which: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Which model is served, where the definition has several."),
    ] = None,
    runtime: Annotated[
        RuntimeVariant | None, typer.Option("--runtime", help="Instead of the one that `store show` names.")
    ] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", "-n", help="Wanted replicas (default 1).")] = None,
    slot: Annotated[
        list[str] | None,
        typer.Option(
            "--slot", metavar="NAME=AMOUNT", help="cpu=2, mem=4g, cuda.device=1. Repeatable; wins over files."
        ),
    ] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Whether callers need no token.")] = None,
    resource_group: Annotated[
        str | None,
        typer.Option(
            "--resource-group",
            metavar="GROUP",
            help="Machines to use (default: the group of the project, else default).",
            autocompletion=complete_group,
        ),
    ] = None,
    project: Project = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> None:
    """Create a service of a model, with what its files say. All else: `headrace service create --folder`, or an update."""
    found = session.client.models.get(model, project=session.project(project, of=model))
    asked: dict[str, Any] = {
        "name": name,
        "model": which,
        "runtime": runtime,
        "replicas": replicas,
        "slots": pairs(slot, "--slot") if slot else None,
        "open_to_public": public,
        "resource_group": resource_group,
        "project": session.project(project) if found.shared_to_caller else None,
    }
    body = service_of(found, **{field: value for field, value in asked.items() if value is not None})
    create_service(session, body, dry_run=dry_run, wait=wait, timeout=timeout)


def _facts(model: ModelDetail) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("name", model.name),
        ("project", model.project),
        ("folder", model.folder_id),
        ("size", f"{size(model.size_bytes)} in {count(model.files, 'file')}"),
    ]
    for entry in model.entries:
        facts.append(("model", entry.name))
        if entry.metadata is not None:
            facts += _metadata(entry.metadata)
    facts += [
        ("section", f"{section.runtime}: {section.image or 'no image'}, {slots(section.slots) or 'no slots'}")
        for section in model.sections
    ]
    if model.problem is not None:
        return [*facts, ("problem", model.problem)]
    image = f", {model.image} ({model.architecture})" if model.image else ""
    facts += [("runs", f"{model.runtime}{image}"), ("needs", slots(model.needs or {}))]
    if model.fit is not None:
        facts.append(("fits now", "yes" if model.fit.reason is None else f"no: {model.fit.reason.text}"))
    return facts


def _metadata(metadata: ModelMetadata) -> list[tuple[str, object]]:
    return [
        (f"  {name}", slots(value) if name == "min_resource" else value if isinstance(value, str) else ", ".join(value))
        for name, value in metadata
        if value
    ]


def _said(metadata: ModelMetadata | None, field: str) -> str:
    return (getattr(metadata, field) if metadata is not None else None) or "-"
