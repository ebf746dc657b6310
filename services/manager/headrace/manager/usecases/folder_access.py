"""Look-up and authorisation of folders: those of the caller's projects, and those that are shared with them.

A folder that is not shared with a caller is not found, as one that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.common.contracts.http.folders import FolderView
from headrace.common.contracts.problems import Forbidden, InvalidRequest, NotFound
from headrace.common.db.pool import Connection
from headrace.manager.domain import access, folder_rights
from headrace.manager.domain.access import Actor
from headrace.manager.domain.folder_rights import FolderRight, split_reference
from headrace.manager.domain.records.folders import Folder, FolderAccess, FolderFacts, FolderUsers
from headrace.manager.domain.records.projects import Project
from headrace.manager.store import folder_shares, folders, projects
from headrace.manager.views.folders import folder_view


async def folder_for(
    con: Connection, actor: Actor, reference: str, right: FolderRight, *, project: str | None = None
) -> Folder:
    """Return the folder `NAME`, `ID` or `PROJECT/NAME`; of `project` (name or id), where given.

    A shared folder is found by its id or with its project. Raises NotFound, Forbidden; InvalidRequest when the name is in
    several of the caller's projects.
    """
    found = await access_to(con, actor, reference, project=project)
    if not folder_rights.may(actor, found, right):
        raise Forbidden(folder_rights.refusal(found, right))
    return found.folder


async def access_to(con: Connection, actor: Actor, reference: str, *, project: str | None = None) -> FolderAccess:
    """Return a folder that the caller sees, and by what right. Raises NotFound, InvalidRequest."""
    name, owner = split_reference(reference, project)
    within = None if owner is None else await projects.find(con, owner, actor)
    seen = within is not None and access.sees(actor, within[1])
    if owner is None or (within is not None and seen):
        found = await folders.find(con, name, actor, within[0].id if within else None)
        if len(found) > 1 and str(found[0][0].id) != name:
            raise InvalidRequest.of("project", "nothing", f"a project's name or id: several have a folder {name}")
        if found:
            folder, project_name, role = found[0]
            return FolderAccess(folder, project_name, role, None)
    if shared := await folder_shares.find_shared(con, actor, name, owner):
        return shared
    if owner is not None and not seen:
        raise NotFound(f"there is no project {owner}, or no folder of it that you may see")
    raise NotFound(f"there is no folder {name}" + (f" in project {owner}" if owner else ""))


async def views_of(con: Connection, actor: Actor, found: Sequence[Folder]) -> list[FolderView]:
    """Return folders that the caller sees, as the caller sees them."""
    described = await folder_shares.described(con, actor, [folder.id for folder in found])
    return [_view(actor, folder, described[folder.id]) for folder in found]


async def view_of(con: Connection, actor: Actor, folder: Folder, users: FolderUsers | None = None) -> FolderView:
    """Return a folder that the caller sees, as the caller sees it; with the services that mount it."""
    facts = (await folder_shares.described(con, actor, [folder.id]))[folder.id]
    return _view(actor, folder, facts, users)


def _view(actor: Actor, folder: Folder, facts: FolderFacts, users: FolderUsers | None = None) -> FolderView:
    seen = FolderAccess(folder, facts.project, facts.role, facts.permission if facts.role is None else None)
    writable = folder.source is None and folder_rights.may(actor, seen, "write")
    shared = not access.sees(actor, facts.role)
    return folder_view(folder, facts, "write" if writable else "read", shared=shared, users=users)


async def folder_of_spec(con: Connection, project: Project, reference: str) -> FolderAccess:
    """Return the folder that a spec of the project names: `NAME` of its own, `PROJECT/NAME` of what is shared with it, or an id.

    What its author may see beside does not count: others change the service, too. Raises NotFound.
    """
    name, owner = split_reference(reference, None)
    found = await folder_shares.find_usable(con, project.id, name, owner or str(project.id))
    if found is None:
        if owner is None:
            raise NotFound(f"there is no folder {reference} in project {project.name}")
        raise NotFound(f"there is no folder {reference}, or it is not shared with project {project.name}")
    return replace(found, permission="write") if found.folder.project_id == project.id else found
