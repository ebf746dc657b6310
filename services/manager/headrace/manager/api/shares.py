"""Routes of shares of folders (of the invitations of a user: `folder_invitations`)."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.folder_shares import FolderShareView, ShareFolder
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Paging, Reference, Reply, Routes, json_reply, no_content

routes = Routes("folders")
SHARES = "/v1/folders/{folder}/shares"


class SharesQuery(Paging):
    """Query parameters of a list of shares."""

    project: Reference | None = None
    """Name or id of the folder's project."""


@routes.on(
    "POST",
    SHARES,
    query=FolderQuery,
    body=ShareFolder,
    creates=f"{SHARES}/{{id}}",
    replies={201: Reply("The share, or invitation.", FolderShareView)},
    problems=(Forbidden, Conflict),
)
async def share_folder(call: Call) -> web.Response:
    """Share a folder with a project, or (operators) all; or invite a user to name a project (owners).

    Where it is shared so, or the user is invited, the permission becomes this one.
    """
    project, asked = call.query(FolderQuery).project, call.body(ShareFolder)
    return json_reply(await call.use.folder_shares.create(call.actor, call["folder"], project, asked), status=201)


@routes.on(
    "GET",
    SHARES,
    query=SharesQuery,
    replies={200: Reply("A page of shares.", Page[FolderShareView])},
)
async def list_folder_shares(call: Call) -> web.Response:
    """List with whom a folder is shared, and open invitations; to others than members of its project the shares with theirs."""
    query = call.query(SharesQuery)
    found = await call.use.folder_shares.page(
        call.actor, call["folder"], query.project, after=query.after, limit=query.limit
    )
    return json_reply(found)


@routes.on("DELETE", f"{SHARES}/{{share}}", query=FolderQuery, replies={204: Reply("Ended.")}, problems=(Forbidden,))
async def unshare_folder(call: Call) -> web.Response:
    """End a share, or withdraw an invitation (owners of the folder's project, and members of the one that it is shared with).

    Replicas that run go on; revisions that mount the folder can neither be made nor be rolled back to.
    """
    await call.use.folder_shares.delete(call.actor, call["folder"], call.query(FolderQuery).project, call["share"])
    return no_content()
