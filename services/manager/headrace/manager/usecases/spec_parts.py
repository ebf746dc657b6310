"""Parts of specs: the folders, size and secrets that a spec names, found before it is resolved and held when a revision is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Conflict, InvalidRequest
from headrace.common.contracts.revision import ExtraMount, RevisionSpec
from headrace.common.db.pool import Connection
from headrace.manager.domain.records.folders import Folder, FolderAccess
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.secret_pins import NAMED
from headrace.manager.domain.variants import resolve
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.store import folder_shares, folders, imports, resource_presets, secrets
from headrace.manager.usecases.findings import Findings
from headrace.manager.usecases.folder_access import folder_of_spec


@dataclass(frozen=True)
class SpecParts:
    """Folders and size that a spec names; `extra` in the order of its mounts. None: there is no such thing, as was found."""

    project: Project
    model: Folder | None
    extra: tuple[Folder | None, ...]
    size: Mapping[str, Decimal] | None = None
    """Slots of the resource preset."""

    def all_of(self, spec: RevisionSpec) -> bool:
        """Return whether everything that the spec names is there."""
        named = ((spec.folder, self.model), (spec.size, self.size))
        return None not in self.extra and all(found is not None for name, found in named if name is not None)


async def find_parts(con: Connection, project: Project, spec: RevisionSpec, findings: Findings) -> SpecParts:
    """Return what the spec names. Finds NotFound for a folder that is neither the project's nor shared with it, InvalidRequest
    for no such size, and for a writable mount of a folder that is shared for reading.
    """
    model = await _folder(con, project, spec.folder, "folder", findings) if spec.folder else None
    extra = [await _extra(con, project, mount, index, findings) for index, mount in enumerate(spec.extra_mounts)]
    size = None
    with findings.noted("size"):
        size = await _size(con, project, spec.size)
    return SpecParts(project, model.folder if model else None, tuple(extra), size)


async def _folder(
    con: Connection, project: Project, reference: str, field: str, findings: Findings
) -> FolderAccess | None:
    with findings.noted(field):
        found = await folder_of_spec(con, project, reference)
        if found.folder.source is not None:
            what = f"{found.folder.name}, which is filled from {found.folder.source}"
            raise InvalidRequest.of(field, what, "model_uri with that URI")
        return found
    return None


async def _extra(con: Connection, project: Project, mount: ExtraMount, index: int, findings: Findings) -> Folder | None:
    found = await _folder(con, project, mount.folder, f"extra_mounts[{index}].folder", findings)
    if found is not None and not mount.read_only and found.permission != "write":
        allowed = f"true, as folder {found.name} is shared with project {project.name} for reading"
        findings.add(InvalidRequest.of(f"extra_mounts[{index}].read_only", mount.read_only, allowed))
    return found.folder if found else None


async def _size(con: Connection, project: Project, name: str | None) -> Mapping[str, Decimal] | None:
    """Return the slots of the resource preset. Raises InvalidRequest with those that there are."""
    if name is None:
        return None
    found = await resource_presets.usable(con, project.id, name)
    if found is None:
        names = await resource_presets.names(con, project.id, most=NAMED + 1)
        known = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        allowed = f"one of {known}" if names else f"none: project {project.name} has no resource preset"
        raise InvalidRequest.of("size", name, f"{allowed}; or no size, and slots")
    return found.slots


async def hold_parts(
    con: Connection, project_id: ProjectId, spec: RevisionSpec, resolved: ResolvedSpec
) -> RevisionSpec:
    """Lock the folders and secrets of a revision until the transaction ends, and have the model imported that it needs.

    Return the spec with the names that its folders have now: they may have been renamed since it was resolved. Raises
    Conflict, with their names, when some were deleted, or are not shared with the project any more.
    """
    needed = tuple(mount.folder_id for mount in resolved.mounts if mount.host_path is None)
    names = await folders.hold(con, needed) if needed else {}
    if len(names) < len(set(needed)):
        deleted = ", ".join(await folders.names_of_deleted(con, needed))
        raise Conflict(f"folder {deleted} was deleted, and this revision needs it; nothing has changed")
    await check_shared(con, project_id, resolved)
    held = await secrets.hold(con, resolved.secrets)
    if gone := [pin for pin in resolved.secrets if (pin.secret_id, pin.version) not in held]:
        lost = ", ".join(f"{pin.name} version {pin.version}" for pin in gone[:5])
        raise Conflict(f"secret {lost} was deleted, and this revision needs it; nothing has changed")
    if resolved.source is not None and resolved.folder_id is not None:
        await imports.want(con, resolved.folder_id, resolved.source)
    return resolve.renamed(spec, resolved, names)


async def check_shared(con: Connection, project_id: ProjectId, resolved: ResolvedSpec) -> None:
    """Raise Conflict if the revision mounts a folder that is neither the project's nor shared with it in the way that it is mounted."""
    mounts = [mount for mount in resolved.mounts if mount.host_path is None]
    if not mounts:
        return
    usable = await folder_shares.usable(con, project_id, [mount.folder_id for mount in mounts])
    for mount in mounts:
        permission = usable.get(mount.folder_id)
        if permission == "write" or (permission == "read" and mount.read_only):
            continue
        name = (await folders.names(con, [mount.folder_id], project_id))[mount.folder_id]
        how = "any more" if permission is None else "for writing any more, and this revision mounts it writable"
        raise Conflict(f"folder {name} at {mount.target} is not shared with this project {how}; nothing has changed")
