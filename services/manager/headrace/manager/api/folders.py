"""Routes of folders and their files."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated
from urllib.parse import quote

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.folders import CreateFolder, FileView, FolderView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.manifest import FolderManifest
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    InUse,
    NameTaken,
    NotFound,
    RangeNotSatisfiable,
    Unavailable,
)
from headrace.common.contracts.vocabulary import UsageMode
from headrace.manager.api.routing import Call, Header, Paging, Query, Reference, Reply, Routes, json_reply, no_content
from headrace.manager.folders.tree import OpenFile

routes = Routes("folders")
_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_CHUNK_BYTES = 1024 * 1024


class FolderQuery(Query):
    """Query parameters of a folder: in which project its name is looked for."""

    project: Reference | None = None
    """Name or id, needed when several of the caller's projects have a folder of this name."""


class DeleteFolderQuery(FolderQuery):
    """Query parameters of the deletion of a folder."""

    force: bool = False
    """Also when older revisions of services can then not be rolled back to."""


class FoldersQuery(Paging):
    """Query parameters of a list of folders."""

    project: Reference | None = None
    usage_mode: UsageMode | None = None


class FilesQuery(FolderQuery):
    """Query parameters of a list of files."""

    path: Annotated[str, StringConstraints(max_length=4096)] = ""
    """A directory or file in the folder; empty is the folder itself."""
    recursive: bool = False
    all: bool = False
    """Also links and special files, which cannot be read."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=4096)] | None = None


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
    """List the model folders of the caller's projects."""
    query = call.query(FoldersQuery)
    found = await call.use.folders.page(
        call.actor, project=query.project, usage_mode=query.usage_mode, after=query.after, limit=query.limit
    )
    return json_reply(found)


@routes.on("GET", "/v1/folders/{folder}", query=FolderQuery, replies={200: Reply("The folder.", FolderView)})
async def show_folder(call: Call) -> web.Response:
    """Get a model folder."""
    return json_reply(await call.use.folders.show(call.actor, call["folder"], call.query(FolderQuery).project))


@routes.on(
    "DELETE",
    "/v1/folders/{folder}",
    query=DeleteFolderQuery,
    replies={204: Reply("Deleted.")},
    problems=(Forbidden, InUse),
)
async def delete_folder(call: Call) -> web.Response:
    """Delete a model folder with its files (members). 409 `in-use` while a service needs it, also for a rollback."""
    query = call.query(DeleteFolderQuery)
    await call.use.folders.delete(call.actor, call["folder"], query.project, force=query.force)
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


@routes.on(
    "GET",
    "/v1/folders/{folder}/files",
    query=FilesQuery,
    replies={200: Reply("A page of entries.", Page[FileView])},
    problems=(Conflict,),
)
async def list_files(call: Call) -> web.Response:
    """List the entries of the directory at `path`, by path; with `recursive` also those of directories below."""
    query = call.query(FilesQuery)
    found = await call.use.folders.files(
        call.actor,
        call["folder"],
        query.project,
        query.path,
        recursive=query.recursive,
        everything=query.all,
        after=query.cursor or "",
        limit=query.limit,
    )
    return json_reply(found)


@routes.on(
    "GET",
    "/v1/folders/{folder}/files/{path:.+}",
    query=FolderQuery,
    headers=(Header("Range", "One range of bytes"), Header("If-Range", "The entity tag that the range belongs to")),
    replies={
        200: Reply(
            "The file.", media_type="application/octet-stream", headers=(Header("ETag", "Differs for another content"),)
        ),
        206: Reply("The range of bytes.", media_type="application/octet-stream"),
    },
    problems=(Conflict, RangeNotSatisfiable),
)
async def download_file(call: Call) -> web.StreamResponse:
    """Download a file, or one range of its bytes."""
    project = call.query(FolderQuery).project
    async with call.use.folders.opened(call.actor, call["folder"], project, call["path"]) as file:
        return await _send(call, file)


@routes.on(
    "DELETE",
    "/v1/folders/{folder}/files/{path:.+}",
    query=FolderQuery,
    replies={204: Reply("Deleted.")},
    problems=(Forbidden, Conflict),
)
async def delete_file(call: Call) -> web.Response:
    """Delete a file, or a directory with its content (members)."""
    await call.use.folders.delete_file(call.actor, call["folder"], call.query(FolderQuery).project, call["path"])
    return no_content()


async def _send(call: Call, file: OpenFile) -> web.StreamResponse:
    start, end = 0, file.size_bytes
    wanted = _wanted(call.request, file)
    if wanted:
        start, end = wanted
    name = quote(call["path"].rpartition("/")[2], safe="")
    response = web.StreamResponse(
        status=206 if wanted else 200,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Accept-Ranges": "bytes",
            "ETag": file.tag,
            **({"Content-Range": f"bytes {start}-{end - 1}/{file.size_bytes}"} if wanted else {}),
        },
    )
    response.last_modified = file.modified_at
    await response.prepare(call.request)
    while start < end:
        chunk = await call.use.folders.blocking(partial(file.read_at, start, min(_CHUNK_BYTES, end - start)))
        if not chunk:
            break  # the file was cut meanwhile: the length announced shows that something is missing
        await response.write(chunk)
        start += len(chunk)
    await response.write_eof()
    return response


def _wanted(request: web.Request, file: OpenFile) -> tuple[int, int] | None:
    """Return the wanted part as (start, end), None for the whole file. What is no single range of bytes is not a range (RFC 9110)."""
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or match.groups() == ("", "") or request.headers.get("If-Range", file.tag) != file.tag:
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, file.size_bytes - int(last)), file.size_bytes
    else:
        start, end = int(first), min(int(last) + 1, file.size_bytes) if last else file.size_bytes
        if last and int(last) < int(first):
            return None
    if start >= end:
        words = f"Range: found {match[0]}; allowed: a part of the file, which has {file.size_bytes} bytes"
        raise RangeNotSatisfiable(words, size_bytes=file.size_bytes)
    return start, end
