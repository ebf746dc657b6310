"""`headrace project …`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, get_args

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_group, complete_project, complete_user
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import pairs
from headrace.cli.parsing import usage as wrong
from headrace.cli.session import Session
from headrace.cli.text import slots
from headrace.common.contracts.http.projects import (
    CreateProject,
    MemberView,
    ProjectView,
    UpdateProject,
    Usage,
    UsageHolder,
)
from headrace.common.contracts.vocabulary import Feature as FeatureName
from headrace.common.contracts.vocabulary import Role

FEATURES: Final[tuple[str, ...]] = get_args(FeatureName)
_STATES: Final = {"on": True, "off": False}

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="Name or id.", autocompletion=complete_project)]
User = Annotated[str, typer.Argument(metavar="USER", help="Name or id.", autocompletion=complete_user)]
Group = Annotated[
    str | None,
    typer.Option(
        "--resource-group",
        metavar="GROUP",
        help="Group of its services that name none (without it: default).",
        autocompletion=complete_group,
    ),
]
Feature = Annotated[
    list[str] | None,
    typer.Option(
        "--feature",
        metavar="FEATURE=on|off",
        help=f"Whether it may be used (operators): {', '.join(FEATURES)}. What uses it already goes on. Repeatable; the others stay.",
    ),
]

_COLUMNS: Columns[ProjectView] = (
    ("NAME", lambda p: p.name),
    ("QUOTA", lambda p: slots(p.quota) if p.quota else "unlimited"),
    ("CREATED", lambda p: p.created_at),
    ("DESCRIPTION", lambda p: p.description[:40]),
)
_UNSET = ("description", "quota", "resource-group", "features")
_HOLDERS: Columns[UsageHolder] = (
    ("WHAT", lambda h: h.kind),
    ("NAME", lambda h: h.name or h.id),
    ("OWNER", lambda h: h.owner or "-"),
    ("REPLICAS", lambda h: "-" if h.kind == "folder" else h.replicas),
    ("HOLDS", lambda h: slots({name: amount for name, amount in h.used.items() if name != "services"}) or "-"),
)
_MEMBERS: Columns[MemberView] = (("USER", lambda m: m.user), ("ROLE", lambda m: m.role))


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "create": create,
            "ls": ls,
            "show": show,
            "update": update,
            "rm": rm,
            "use": use,
            "usage": usage,
            "members": members,
            "add-member": add_member,
            "rm-member": rm_member,
        },
    )


@changing
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in the installation.")],
    description: Annotated[str, typer.Option("--description", help="What it is for, in words.")] = "",
    quota: Annotated[
        list[str] | None,
        typer.Option(
            "--quota",
            metavar="SLOT=AMOUNT",
            help="Limit over all live replicas, as cuda.device=4; of folders: storage=500g, files=100000; "
            "of services that run: services=5 (0: none may). Repeatable.",
        ),
    ] = None,
    resource_group: Group = None,
    feature: Feature = None,
) -> None:
    """Create a project (operators)."""
    limits: dict[str, Any] = {"quota": pairs(quota, "--quota")} if quota else {}
    if resource_group is not None:
        limits["resource_group"] = resource_group
    if feature:
        limits["features"] = _switches(feature)
    _show(
        session,
        session.client.projects.create(
            CreateProject.model_validate({"name": name, "description": description, **limits})
        ),
    )


def ls(session: Session) -> None:
    """List the projects that you may see."""
    session.output.table(session.client.projects.list(), _COLUMNS, empty="no projects")


def show(session: Session, project: Name) -> None:
    """Show a project and its usage."""
    found = session.client.projects.get(project)
    _show(session, found, session.client.projects.usage(str(found.id)))


@changing
def update(
    session: Session,
    project: Name,
    description: Annotated[str | None, typer.Option("--description", help="What it is for, in words.")] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            "--quota",
            metavar="SLOT=AMOUNT",
            help="Limit over all live replicas (operators). Repeatable; the others stay.",
        ),
    ] = None,
    resource_group: Group = None,
    feature: Feature = None,
    unset: Annotated[list[str] | None, unset_flag(_UNSET, of_several="quota=SLOT")] = None,
) -> None:
    """Change a project's description, default resource group, quota and features. Running replicas stay if a limit is lowered; new ones
    are refused.
    """
    given = _changes(session, project, description, quota or [], unset or [])
    if resource_group is not None:
        given["resource_group"] = resource_group
    if feature:
        given["features"] = (dict.fromkeys(FEATURES) if "features" in given else {}) | _switches(feature)
    if not given:
        raise wrong("found nothing to change; allowed: --description, --quota, --resource-group, --feature, --unset")
    _show(session, session.client.projects.update(project, UpdateProject.model_validate(given)))


def _changes(
    session: Session, project: str, description: str | None, quota: list[str], unset: list[str]
) -> dict[str, Any]:
    slots_away = [item.removeprefix("quota=") for item in unset if item.startswith("quota=")]
    gone = emptied(
        [item for item in unset if not item.startswith("quota=")], {name: name.replace("-", "_") for name in _UNSET}
    )
    set_now = (session.client.projects.get(project).quota or {}) if slots_away or ("quota" in gone and quota) else {}
    for name in slots_away:
        if name not in set_now:
            has = ", ".join(sorted(set_now)) or "nothing, as none is set"
            raise wrong(f"--unset quota={name}: found none such; allowed: {has}")
    limits: dict[str, str | None] = {**dict.fromkeys(slots_away), **pairs(quota, "--quota")}
    if "quota" in gone and limits:  # removes all present slots, then sets the given ones
        limits = {**dict.fromkeys(set_now), **limits}
    given: dict[str, Any] = {**gone}
    if limits:
        given["quota"] = limits
    return given if description is None else given | {"description": description}


def _switches(given: list[str]) -> dict[str, bool]:
    """Return which features are switched on and off. Raises CliError."""
    switches = {}
    for name, state in pairs(given, "--feature").items():
        if name not in FEATURES or state not in _STATES:
            raise wrong(f"--feature {name}={state}: allowed: on or off, of {', '.join(FEATURES)}")
        switches[name] = _STATES[state]
    return switches


@changing
def rm(session: Session, project: Name, yes: Yes = False) -> None:
    """Delete a project that has no services and no folders."""
    confirmed(f"delete the project {project}?", yes=yes)
    session.client.projects.delete(project)
    session.output.done(f"deleted the project {project}", deleted=project)


def use(
    session: Session,
    project: Annotated[
        str | None, typer.Argument(metavar="PROJECT", help="Name or id.", autocompletion=complete_project)
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Forget it.")] = False,
) -> None:
    """Set the default project of commands, for this server and key; without a name: show it."""
    url = session.client.url
    if unset:
        session.use_project(None)
    elif project is not None:
        session.use_project(session.client.projects.get(project).name)
    chosen = session.default_project
    session.output.done(
        f"at {url}: {chosen or 'none; commands mean the only project that one has'}", url=url, project=chosen
    )


def usage(session: Session, project: Name) -> None:
    """Show the project's current usage and limits, per slot, and who uses it: services, trial runs, folders."""
    used = session.client.projects.usage(project)
    session.output.facts(used, _used(used))
    if used.holders and not session.output.as_json:
        session.output.line("")
        session.output.table(used.holders, _HOLDERS, empty="")


def members(session: Session, project: Name) -> None:
    """List the members."""
    session.output.table(session.client.projects.members(project), _MEMBERS, empty="no members")


@changing
def add_member(
    session: Session,
    project: Name,
    user: User,
    role: Annotated[Role, typer.Option("--role", help="What the user may do.")] = "member",
) -> None:
    """Add a user to the project with a role, or change the role."""
    member = session.client.projects.put_member(project, user, role)
    session.output.facts(member, (("user", member.user), ("role", member.role)))


@changing
def rm_member(session: Session, project: Name, user: User) -> None:
    """Remove a user from the project."""
    session.client.projects.remove_member(project, user)
    session.output.done(f"{user} is no member of {project} any more", project=project, removed=user)


def _used(usage: Usage) -> list[tuple[str, str]]:
    """Return each slot with its usage and limit."""
    rows = []
    for name in sorted({*usage.used, *usage.limits}):
        held = _amount(name, usage.used.get(name, Decimal(0)))
        rows.append((name, f"{held} of {_amount(name, usage.limits[name])}" if name in usage.limits else held))
    return rows


def _amount(name: str, amount: Decimal) -> str:
    return slots({name: amount}).partition("=")[2]


def _show(session: Session, project: ProjectView, usage: Usage | None = None) -> None:
    if project.note is not None:
        session.output.note(f"note: {project.note.text}")
    session.output.facts(
        project,
        (
            ("name", project.name),
            ("id", project.id),
            ("description", project.description),
            ("quota", slots(project.quota) if project.quota else "unlimited"),
            ("resource group", project.resource_group or "default"),
            ("switched off", ", ".join(name for name, on in project.features.items() if not on) or "nothing"),
            ("created", project.created_at),
            *((f"{name} held", text) for name, text in (_used(usage) if usage is not None else ())),
        ),
    )
