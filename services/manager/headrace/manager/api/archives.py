"""Routes of archives: many files in one request."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import StringConstraints

from headrace.common.contracts.http.folders import ArchiveReceipt
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    QuotaExceeded,
    TooLarge,
    UnsupportedMediaType,
)
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Reply, Routes, json_reply
from headrace.manager.api.uploads import body_parts

routes = Routes("archives")
TAR = "application/x-tar"


class ArchiveQuery(FolderQuery):
    """Where to."""

    path: Annotated[str, StringConstraints(max_length=4096)] = ""
    """A directory in the folder; empty is the folder itself."""


@routes.on(
    "POST", "/v1/folders/{folder}/archive", query=ArchiveQuery, raw_body=TAR,
    replies={200: Reply("What was taken, and what was refused and why.", ArchiveReceipt)},
    problems=(Forbidden, Conflict, QuotaExceeded, TooLarge, InsufficientStorage, UnsupportedMediaType),
)  # fmt: skip
async def take_archive(call: Call) -> web.Response:
    """Put the files and directories of a tar archive (not compressed) into the folder (members).

    Each file is in its place, whole, as soon as it came; a refused entry costs itself. A pax record `HEADRACE.sha256` is checked.
    """
    if call.request.content_type != TAR:
        raise UnsupportedMediaType(f"the body is {call.request.content_type}; allowed: {TAR}")
    query = call.query(ArchiveQuery)
    return json_reply(
        await call.use.archives.take(
            call.actor, call["folder"], query.project, query.path, body_parts(call.request), call.request.content_length
        )
    )
