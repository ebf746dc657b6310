"""Routes of the trash: deleted folders."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.folders import FolderView, RestoreFolder, TrashedFolderView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Forbidden, InsufficientStorage, NameTaken, NotFound
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Paging, Reference, Reply, Routes, json_reply, no_content

routes = Routes("trash")


class TrashQuery(Paging):
    """Query parameters of a list of deleted folders."""

    project: Reference | None = None


@routes.on(
    "GET",
    "/v1/trash",
    query=TrashQuery,
    replies={200: Reply("A page of deleted folders.", Page[TrashedFolderView])},
    problems=(NotFound,),
)
async def list_trash(call: Call) -> web.Response:
    """List the deleted folders of the caller's projects that can be restored, and when each is removed for good."""
    query = call.query(TrashQuery)
    return json_reply(
        await call.use.trash.page(call.actor, project=query.project, after=query.after, limit=query.limit)
    )


@routes.on(
    "POST",
    "/v1/trash/{folder}/restore",
    query=FolderQuery,
    body=RestoreFolder,
    replies={200: Reply("The folder.", FolderView)},
    problems=(Forbidden, NameTaken, InsufficientStorage),
)
async def restore_folder(call: Call) -> web.Response:
    """Restore a deleted folder with its files (members)."""
    project, asked = call.query(FolderQuery).project, call.body(RestoreFolder)
    return json_reply(await call.use.trash.restore(call.actor, call["folder"], project, asked))


@routes.on(
    "DELETE",
    "/v1/trash/{folder}",
    query=FolderQuery,
    replies={204: Reply("Removed.")},
    problems=(Forbidden,),
)
async def purge_folder(call: Call) -> web.Response:
    """Remove a deleted folder with its files for good (members)."""
    await call.use.trash.purge(call.actor, call["folder"], call.query(FolderQuery).project)
    return no_content()
