"""Routes of archives: many files in one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import StringConstraints

from headrace.common.contracts.http.folders import ArchiveReceipt, Selection
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    Problem,
    QuotaExceeded,
    TooLarge,
    UnsupportedMediaType,
)
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Reply, Routes, json_reply
from headrace.manager.api.uploads import body_parts

log = structlog.get_logger()
routes = Routes("archives")
_READER_S = 60.0
"""Timeout for a reader that takes no bytes."""
TAR = "application/x-tar"


class ArchiveQuery(FolderQuery):
    """Query parameters of the place of an archive."""

    path: Annotated[str, StringConstraints(max_length=4096)] = ""
    """A directory in the folder; empty is the folder itself."""


@routes.on(
    "POST",
    "/v1/folders/{folder}/archive",
    query=ArchiveQuery,
    raw_body=TAR,
    replies={200: Reply("The number of stored entries, and the refused ones with their reasons.", ArchiveReceipt)},
    problems=(Forbidden, Conflict, QuotaExceeded, TooLarge, InsufficientStorage, UnsupportedMediaType),
)
async def take_archive(call: Call) -> web.Response:
    """Upload files and directories to the folder, as a tar archive without compression (members).

    Each file is replaced atomically as soon as it was received. An entry that is refused does not stop the others, and the
    answer names it. The digest in a pax record `HEADRACE.sha256` is verified.
    """
    if call.request.content_type != TAR:
        raise UnsupportedMediaType(f"the body is {call.request.content_type}; allowed: {TAR}")
    query = call.query(ArchiveQuery)
    return json_reply(
        await call.use.archives.take(
            call.actor, call["folder"], query.project, query.path, body_parts(call.request), call.request.content_length
        )
    )


@routes.on(
    "GET",
    "/v1/folders/{folder}/archive",
    query=ArchiveQuery,
    replies={200: Reply("A tar archive, not compressed.", media_type=TAR)},
    problems=(Conflict,),
)
async def send_archive(call: Call) -> web.StreamResponse:
    """Download the files and directories at `path` as a tar archive.

    An interrupted archive lacks the two zero blocks at its end. A pax record `HEADRACE.sha256` has the digest of a small
    file; `HEADRACE.changed` follows a file that changed while it was read.
    """
    query = call.query(ArchiveQuery)
    return await _send(call, call.use.archives.read(call.actor, call["folder"], query.project, query.path))


@routes.on(
    "POST",
    "/v1/folders/{folder}/archive/selection",
    query=FolderQuery,
    body=Selection,
    replies={200: Reply("A tar archive, not compressed.", media_type=TAR)},
    problems=(Conflict,),
    any_key=True,
)
async def send_selection(call: Call) -> web.StreamResponse:
    """Download the files at these paths as a tar archive; paths that are no file are left out."""
    project, paths = call.query(FolderQuery).project, call.body(Selection).paths
    return await _send(call, call.use.archives.read(call.actor, call["folder"], project, "", paths))


async def _send(
    call: Call, archive: AbstractAsyncContextManager[tuple[str, AsyncIterator[bytes]]]
) -> web.StreamResponse:
    async with archive as (name, pieces):
        response = web.StreamResponse(
            headers={"Content-Type": TAR, "Content-Disposition": f'attachment; filename="{name}.tar"'}
        )
        await response.prepare(call.request)
        try:
            async for piece in pieces:
                async with asyncio.timeout(_READER_S):
                    await response.write(piece)
        except (Problem, TimeoutError) as error:
            log.warning("archive_aborted", folder=name, error=str(error) or "the reader did not go on")
            if call.request.transport is not None:
                call.request.transport.abort()  # an orderly end would look like a whole archive
            return response
        await response.write_eof()
    return response
