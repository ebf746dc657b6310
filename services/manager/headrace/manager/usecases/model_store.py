"""Use cases of the model store: list and show the folders with both definition files, and whether they would be placed now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.common.contracts.http.models import Fit, ModelDetail, ModelView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import FolderId, ProjectId
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.domain.definitions.model_definition import DEFAULT_NAMES
from headrace.manager.domain.definitions.service_definition import FILE
from headrace.manager.domain.placement.scheduler import place_each_alone
from headrace.manager.domain.records.model_store import StoreModel
from headrace.manager.domain.records.projects import Project
from headrace.manager.store import model_store, resource_groups, services
from headrace.manager.usecases.context import check_group, make_page, no_group, project_for
from headrace.manager.usecases.definition_reader import DefinitionReader
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.known_machines import KnownMachines
from headrace.manager.views.model_store import fit_view, model_detail, model_view, not_allowed


class ModelStore:
    """Use cases of the model store. Nothing is changed but what is remembered of definition files."""

    def __init__(
        self, pool: Pool, folders: Folders, reader: DefinitionReader, machines: KnownMachines, utc: Clock
    ) -> None:
        self._pool = pool
        self._folders = folders
        self._reader = reader
        self._machines = machines
        self._utc = utc

    async def page(
        self,
        actor: Actor,
        *,
        project: str | None,
        text: str | None,
        task: str | None,
        resource_group: str | None,
        after: UUID,
        limit: int,
    ) -> Page[ModelView]:
        """Return the models of the projects that the caller sees, and those that are shared with these.

        `resource_group`: where it is judged whether they fit; None: in the default one of each project. Raises NotFound for
        a project that the caller does not see, InvalidRequest for a resource group that is not there, or not for the project.
        """
        async with self._pool.acquire() as con:
            of = await project_for(con, actor, project, "viewer") if project else None
            await _check_group(con, resource_group, of)
            found = await model_store.page(
                con, actor, project_id=of.id if of else None, text=text, task=task, after=after, limit=limit + 1
            )
            groups = await _groups(con, found[:limit], resource_group, of)
        fits = await self._fits(found[:limit], groups)
        return make_page(
            found,
            limit,
            lambda model: model_view(model, fits.get(model.folder.id)),
            lambda model: model.folder.id,
        )

    async def show(self, actor: Actor, reference: str, project: str | None, resource_group: str | None) -> ModelDetail:
        """Return one model, as its files are now. Raises NotFound, InvalidRequest, Unavailable."""
        folder = await self._folders.find(actor, reference, project, "read")
        await self._reader.refresh(folder.id)
        async with self._pool.acquire() as con:
            of = await project_for(con, actor, project, "viewer") if project else None
            await _check_group(con, resource_group, of)
            found = await model_store.find(con, actor, folder.id)
            groups = await _groups(con, [found] if found else [], resource_group, of)
        if found is None:
            needed = f"{' or '.join(DEFAULT_NAMES)} and {FILE} at the top of a model folder"
            raise NotFound(f"folder {folder.name} is not in the model store, which needs {needed}")
        fits = await self._fits([found], groups)
        return model_detail(found, fits.get(found.folder.id))

    async def _fits(
        self, models: Sequence[StoreModel], groups: Mapping[ProjectId, tuple[str, bool]]
    ) -> dict[FolderId, Fit]:
        """Return whether a replica of each would be placed now; of those with wrong files nothing."""
        now = self._utc()
        offers = [(model.folder, model.entry.offer) for model in models if model.entry.offer is not None]
        usable = [(folder, offer) for folder, offer in offers if groups[folder.project_id][1]]
        fits = {folder.id: not_allowed(groups[folder.project_id][0]) for folder, _ in offers}
        if usable:
            requests = [offer.request(folder, groups[folder.project_id][0], now) for folder, offer in usable]
            found = await asyncio.to_thread(place_each_alone, await self._machines.read(), requests)
            fits |= {folder.id: fit_view(one) for (folder, _), one in zip(usable, found, strict=True)}
        return fits


async def _groups(
    con: Connection, models: Sequence[StoreModel], resource_group: str | None, of: Project | None
) -> dict[ProjectId, tuple[str, bool]]:
    """Return by each model's project the resource group by which it is judged, and whether that may be used: by the project `of`,
    else by the model's.
    """
    projects = {model.folder.project_id for model in models}
    found = await resource_groups.of_projects(con, {of.id} if of else projects, resource_group)
    return {project_id: found[of.id if of else project_id] for project_id in projects}


async def _check_group(con: Connection, name: str | None, project: Project | None) -> None:
    """Raise InvalidRequest for a group that is not there, or that the project may not use."""
    if name is not None and project is not None:
        await check_group(con, project, name)
    elif name is not None and not await services.group_exists(con, name):
        raise await no_group(con, name)
