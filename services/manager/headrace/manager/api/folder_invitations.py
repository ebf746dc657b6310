"""Routes of a user's invitations to share folders (of what owners see of them: `shares`)."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.folder_shares import AcceptFolder, FolderInvitationView
from headrace.common.contracts.http.folders import FolderView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Forbidden
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("folders")
INVITATIONS = "/v1/folder-invitations"


@routes.on("GET", INVITATIONS, query=Paging, replies={200: Reply("A page of invitations.", Page[FolderInvitationView])})
async def list_folder_invitations(call: Call) -> web.Response:
    """List the caller's open invitations to share folders."""
    page = call.query(Paging)
    return json_reply(await call.use.folder_shares.invitations(call.actor, after=page.after, limit=page.limit))


@routes.on(
    "POST",
    f"{INVITATIONS}/{{invitation}}/accept",
    body=AcceptFolder,
    replies={200: Reply("The folder.", FolderView)},
    problems=(Forbidden,),
)
async def accept_folder_invitation(call: Call) -> web.Response:
    """Accept an invitation: the folder is shared with the project that the caller names (members of that)."""
    found = await call.use.folder_shares.accept(call.actor, call["invitation"], call.body(AcceptFolder))
    return json_reply(found)


@routes.on("DELETE", f"{INVITATIONS}/{{invitation}}", replies={204: Reply("Declined.")})
async def decline_folder_invitation(call: Call) -> web.Response:
    """Decline an invitation."""
    await call.use.folder_shares.decline(call.actor, call["invitation"])
    return no_content()
