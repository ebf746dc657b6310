"""Routes of folders (of the files in them: `files`)."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.folders import CreateFolder, FolderView, UpdateFolder
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.manifest import FolderManifest
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    InUse,
    NameTaken,
    NotFound,
    Unavailable,
)
from headrace.common.contracts.vocabulary import UsageMode
from headrace.manager.api.routing import Call, Paging, Query, Reference, Reply, Routes, json_reply, no_content

routes = Routes("folders")


class FolderQuery(Query):
    """Query parameters of a folder: in which project its name is looked for."""

    project: Reference | None = None
    """Name or id of the folder's project, needed when several of the caller's projects have a folder of this name, and of a shared
    folder, unless it is named `<project>/<name>` (in a path `<project>%2F<name>`) or by its id."""


class DeleteFolderQuery(FolderQuery):
    """Query parameters of the deletion of a folder."""

    force: bool = False
    """Also when older revisions of services can then not be rolled back to, and when services of other projects need it."""
    purge: bool = False
    """Remove its files at once, so that it cannot be restored."""


class FoldersQuery(Paging):
    """Query parameters of a list of folders."""

    project: Reference | None = None
    usage_mode: UsageMode | None = None
    shared: bool = False
    """Instead of the folders of the caller's projects (or of `project`) those of others that are shared with these."""


@routes.on(
    "POST",
    "/v1/folders",
    body=CreateFolder,
    creates="/v1/folders/{id}",
    replies={201: Reply("The folder.", FolderView)},
    problems=(Forbidden, NameTaken, NotFound, InsufficientStorage),
)
async def create_folder(call: Call) -> web.Response:
    """Create an empty model folder (members)."""
    folder = await call.use.folders.create(call.actor, call.body(CreateFolder))
    return json_reply(folder, status=201)


@routes.on(
    "GET",
    "/v1/folders",
    query=FoldersQuery,
    replies={200: Reply("A page of folders.", Page[FolderView])},
    problems=(NotFound,),
)
async def list_folders(call: Call) -> web.Response:
    """List the model folders of the caller's projects, or those that are shared with these."""
    query = call.query(FoldersQuery)
    found = await call.use.folders.page(
        call.actor,
        project=query.project,
        shared=query.shared,
        usage_mode=query.usage_mode,
        after=query.after,
        limit=query.limit,
    )
    return json_reply(found)


@routes.on("GET", "/v1/folders/{folder}", query=FolderQuery, replies={200: Reply("The folder.", FolderView)})
async def show_folder(call: Call) -> web.Response:
    """Get a model folder."""
    return json_reply(await call.use.folders.show(call.actor, call["folder"], call.query(FolderQuery).project))


@routes.on(
    "PATCH",
    "/v1/folders/{folder}",
    query=FolderQuery,
    body=UpdateFolder,
    replies={200: Reply("The folder.", FolderView)},
    problems=(Forbidden, NameTaken),
    conditional=True,
)
async def update_folder(call: Call) -> web.Response:
    """Rename a folder (members). Services that mount it go on with it, and name it as it is called now."""
    project, change = call.query(FolderQuery).project, call.body(UpdateFolder)
    return json_reply(await call.use.folders.update(call.actor, call["folder"], project, change))


@routes.on(
    "DELETE",
    "/v1/folders/{folder}",
    query=DeleteFolderQuery,
    replies={204: Reply("Deleted.")},
    problems=(Forbidden, InUse),
    conditional=True,
)
async def delete_folder(call: Call) -> web.Response:
    """Delete a folder with its files (members). 409 `in-use` while a service needs it, also for a rollback.

    It can be restored from the trash for a while, where it counts for the quota; its name is free at once.
    """
    query = call.query(DeleteFolderQuery)
    await call.use.folders.delete(call.actor, call["folder"], query.project, force=query.force, purge=query.purge)
    return no_content()


@routes.on(
    "GET",
    "/v1/folders/{folder}/manifest",
    query=FolderQuery,
    replies={200: Reply("The manifest.", FolderManifest)},
    problems=(Conflict, Unavailable),
)
async def folder_manifest(call: Call) -> web.Response:
    """Get the manifest of a model folder as it is now: all files with size and SHA-256, sorted by path."""
    found = await call.use.folders.manifest(call.actor, call["folder"], call.query(FolderQuery).project)
    return web.Response(body=found, content_type="application/json")
