"""`headrace folder share|shares|unshare|invitations|accept|decline`: folders for other projects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Folder, Project
from headrace.cli.commands.suggestions import complete_project, complete_user
from headrace.cli.errors import CliError
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import until
from headrace.common.contracts.http.folder_shares import (
    AcceptFolder,
    FolderInvitationView,
    FolderShareView,
    ShareFolder,
)

With = Annotated[
    str | None,
    typer.Option(
        "--with", metavar="PROJECT", help="A project of yours, by name or id.", autocompletion=complete_project
    ),
]
ToUser = Annotated[
    str | None,
    typer.Option(
        "--user",
        metavar="USER",
        help="Somebody who is invited, and says with which project.",
        autocompletion=complete_user,
    ),
]
ToAll = Annotated[bool, typer.Option("--all", help="All projects, to read (operators).")]
Invitation = Annotated[str, typer.Argument(metavar="INVITATION", help="Its id, or the folder: PROJECT/FOLDER.")]
_INVITATIONS: Columns[FolderInvitationView] = (
    ("FOLDER", lambda i: i.folder),
    ("USAGE", lambda i: i.usage_mode),
    ("MAY", lambda i: i.permission),
    ("BY", lambda i: i.created_by),
    ("ENDS", lambda i: until(i.expires_at, datetime.now(UTC))),
    ("ID", lambda i: i.id),
)


def _whom(share: FolderShareView) -> str:
    if share.all_projects:
        return "all projects"
    return f"user {share.user}" if share.user is not None else f"project {share.project}"


_SHARES: Columns[FolderShareView] = (
    ("WITH", _whom),
    ("MAY", lambda s: s.permission),
    ("STATE", lambda s: "invited" if s.user is not None else "shared"),
    ("BY", lambda s: s.created_by),
    ("SINCE", lambda s: s.created_at),
    ("ENDS", lambda s: until(s.expires_at, datetime.now(UTC)) if s.expires_at is not None else "-"),
    ("ID", lambda s: s.id),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "share": share,
            "shares": shares,
            "unshare": unshare,
            "invitations": invitations,
            "accept": accept,
            "decline": decline,
        },
    )


@changing
def share(
    session: Session,
    folder: Folder,
    with_project: With = None,
    user: ToUser = None,
    everybody: ToAll = False,
    write: Annotated[bool, typer.Option("--write", help="To write its files, too; without it to read them.")] = False,
    project: Project = None,
) -> None:
    """Share a folder with another project, whose services can mount it then as PROJECT/FOLDER.

    Where it is shared already, the permission becomes this one. `--user` invites somebody, for projects that you are not
    in.
    """
    _check_one(with_project, user, everybody=everybody)
    asked = ShareFolder(
        project=with_project, user=user, all_projects=everybody, permission="write" if write else "read"
    )
    made = session.client.folders.share(folder, asked, project=session.project(project, of=folder))
    if session.output.as_json:
        session.output.record(made.model_dump(mode="json"))
    elif made.user is not None:
        ends = until(made.expires_at, datetime.now(UTC))
        session.output.line(f"invited {made.user} to {folder}, to {made.permission}; the invitation ends {ends}")
    else:
        session.output.line(f"shared {folder} with {_whom(made)}, to {made.permission}")


def shares(session: Session, folder: Folder, project: Project = None) -> None:
    """List with whom a folder is shared, and who is invited."""
    found = session.client.folders.shares(folder, project=session.project(project, of=folder))
    session.output.table(found, _SHARES, empty="not shared")


@changing
def unshare(
    session: Session,
    folder: Folder,
    with_project: With = None,
    user: ToUser = None,
    everybody: ToAll = False,
    project: Project = None,
) -> None:
    """End a share of a folder, or withdraw an invitation.

    Replicas that run go on with its files; no revision can be made or rolled back to that mounts it.
    """
    _check_one(with_project, user, everybody=everybody)
    of = session.project(project, of=folder)
    for one in session.client.folders.shares(folder, project=of):
        if (everybody and one.all_projects) or (user is not None and one.user == user):
            break
        if with_project is not None and with_project in (one.project, str(one.project_id)):
            break
    else:
        whom = "all projects" if everybody else with_project or user
        raise CliError(f"{folder} is not shared with {whom}", hint=f"headrace folder shares {folder}")
    session.client.folders.unshare(folder, one.id, project=of)
    ended = "withdrew the invitation of" if one.user is not None else f"{folder} is not shared any more with"
    session.output.done(f"{ended} {_whom(one)}", ended=str(one.id))


def invitations(session: Session) -> None:
    """List the folders that you are invited to share with a project of yours."""
    session.output.table(session.client.folders.invitations(), _INVITATIONS, empty="no invitations")


@changing
def accept(session: Session, invitation: Invitation, project: Project = None) -> None:
    """Accept an invitation: the folder is shared with your project, whose services can mount it as PROJECT/FOLDER."""
    asked = session.with_project({"project": project} if project else {})
    found = session.client.folders.accept(_id(session, invitation), AcceptFolder.model_validate(asked))
    session.output.done(
        f"{found.project}/{found.name} is shared with your project, to {found.permission}", folder=str(found.id)
    )


@changing
def decline(session: Session, invitation: Invitation) -> None:
    """Decline an invitation."""
    session.client.folders.decline(_id(session, invitation))
    session.output.done(f"declined the invitation to {invitation}", declined=invitation)


def _check_one(project: str | None, user: str | None, *, everybody: bool) -> None:
    given = [
        flag
        for flag, said in (("--with", project is not None), ("--user", user is not None), ("--all", everybody))
        if said
    ]
    if len(given) != 1:
        raise usage(f"found {' and '.join(given) or 'nobody to share with'}; allowed: one of --with, --user and --all")


def _id(session: Session, invitation: str) -> str:
    """Return the id of an invitation, which may be named by its folder."""
    if "/" not in invitation:
        return invitation
    for one in session.client.folders.invitations():
        if one.folder == invitation:
            return str(one.id)
    raise CliError(f"you are not invited to {invitation}", hint="headrace folder invitations")
