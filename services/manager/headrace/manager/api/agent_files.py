"""Routes for agents, which are no part of the REST API: the files of the snapshots that their plans name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import structlog
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from headrace.common.contracts.ids import SnapshotId
from headrace.common.contracts.problems import NotFound, Problem
from headrace.common.contracts.snapshot_files import MANIFEST_PATH, PARTS_PATH, FileParts
from headrace.manager.api.incoming import check_encoding, read_body
from headrace.manager.usecases.snapshot_files import ServedFile, SnapshotFiles

log = structlog.get_logger()
_READER_S = 60.0
"""Timeout for an agent that takes no bytes."""
_SNAPSHOT = TypeAdapter(SnapshotId)
_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, files: SnapshotFiles) -> None:
    """Add the routes to the application."""
    app.router.add_get(MANIFEST_PATH, _manifest(files), allow_head=False)
    app.router.add_post(PARTS_PATH, _parts(files))


def _manifest(files: SnapshotFiles) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        served = files.manifest(request.headers.get("Authorization"), _snapshot_id(request))
        return await _send(request, served, "application/json")

    return handle


def _parts(files: SnapshotFiles) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        check_encoding(request)
        body = await read_body(request, FileParts)
        assert isinstance(body, FileParts)  # noqa: S101 - what was parsed as such
        served = files.parts(request.headers.get("Authorization"), _snapshot_id(request), body)
        return await _send(request, served, "application/octet-stream")

    return handle


def _snapshot_id(request: web.Request) -> SnapshotId:
    try:
        return _SNAPSHOT.validate_python(request.match_info["snapshot_id"])
    except ValidationError:
        raise NotFound("there is no such snapshot; allowed: 64 hexadecimal digits in lower case") from None


async def _send(
    request: web.Request, served: AbstractAsyncContextManager[ServedFile], content_type: str
) -> web.StreamResponse:
    async with served as file:
        headers = {"Content-Type": content_type, "Content-Length": str(file.size_bytes)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        try:
            async for piece in file.pieces:
                async with asyncio.timeout(_READER_S):
                    await response.write(piece)
        except (Problem, TimeoutError) as error:
            log.warning("snapshot_aborted", path=request.path, error=str(error) or "the agent did not go on")
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
    return response
