"""Routes of the files and directories in folders."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Annotated, Final
from urllib.parse import quote

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.folders import CreateDirectory, FileView, Move
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    InvalidRequest,
    QuotaExceeded,
    RangeNotSatisfiable,
    TooLarge,
)
from headrace.manager.api.conditions import ETAG, IF_MATCH, IF_NONE_MATCH, has_already
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Header, Reply, Routes, json_reply, no_content
from headrace.manager.api.uploads import body_parts
from headrace.manager.folders.tree import OpenFile
from headrace.manager.usecases.files import MAX_WRITTEN_BYTES, Only

routes = Routes("files")
_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_CHUNK_BYTES = 1024 * 1024
_BODY_S = 30.0
OCTETS: Final = "application/octet-stream"


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
    "GET",
    "/v1/folders/{folder}/files",
    query=FilesQuery,
    replies={200: Reply("A page of entries.", Page[FileView])},
    problems=(Conflict,),
)
async def list_files(call: Call) -> web.Response:
    """List the entries of the directory at `path`, by path; with `recursive` also those of directories below."""
    query = call.query(FilesQuery)
    found = await call.use.files.page(
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


_FILE: Final = (ETAG, Header("Last-Modified", "When it was written"), Header("Accept-Ranges", "`bytes`"))


@routes.on(
    "GET",
    "/v1/folders/{folder}/files/{path:.+}",
    query=FolderQuery,
    headers=(
        Header("Range", "One range of bytes"),
        Header("If-Range", "The entity tag that the range belongs to"),
        IF_NONE_MATCH,
    ),
    replies={
        200: Reply("The file.", media_type=OCTETS, headers=_FILE),
        206: Reply("The range of bytes.", media_type=OCTETS, headers=_FILE),
        304: Reply("It is what `If-None-Match` says.", headers=(ETAG,)),
    },
    problems=(Conflict, RangeNotSatisfiable),
)
async def download_file(call: Call) -> web.StreamResponse:
    """Download a file, or one range of its bytes."""
    return await _sent(call)


@routes.on(
    "HEAD",
    "/v1/folders/{folder}/files/{path:.+}",
    query=FolderQuery,
    headers=(IF_NONE_MATCH,),
    replies={
        200: Reply("Size, time and entity tag of the file, in header fields.", headers=_FILE),
        304: Reply("It is what `If-None-Match` says.", headers=(ETAG,)),
    },
    problems=(Conflict,),
)
async def show_file(call: Call) -> web.StreamResponse:
    """Get size, time and entity tag of a file."""
    return await _sent(call)


@routes.on(
    "PUT",
    "/v1/folders/{folder}/files/{path:.+}",
    query=FolderQuery,
    headers=(Header("If-None-Match", "`*`: only if there is no such file"),),
    raw_body=OCTETS,
    replies={
        200: Reply("The file, which replaced another one.", FileView, headers=(ETAG,)),
        201: Reply("The file.", FileView, headers=(ETAG,)),
    },
    problems=(Forbidden, Conflict, TooLarge, QuotaExceeded, InsufficientStorage),
    conditional=True,
)
async def write_file(call: Call) -> web.Response:
    """Write a file of at most 1 MiB as a whole (members); larger ones are uploads.

    With `If-Match` only the file is replaced whose entity tag that is, so that no change by others is lost.
    """
    project, none_match = call.query(FolderQuery).project, call.request.headers.get("If-None-Match")
    if none_match not in {None, "*"}:
        raise InvalidRequest.of("If-None-Match", str(none_match)[:80], "* alone, or no such header")
    only: Only | None = "new" if none_match else "there" if IF_MATCH.name in call.request.headers else None
    content = await _content(call)
    file, new = await call.use.files.write(call.actor, call["folder"], project, call["path"], content, only)
    answer = json_reply(file, status=201 if new else 200)
    answer.headers[ETAG.name] = f'"{file.etag}"'
    return answer


async def _content(call: Call) -> bytes:
    """Return the body. Raises TooLarge, InvalidRequest for one that does not arrive."""
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in body_parts(call.request):
                parts.append(part)
                size += len(part)
                if size > MAX_WRITTEN_BYTES:
                    raise TooLarge(
                        f"the file has more than {MAX_WRITTEN_BYTES} bytes; allowed: {MAX_WRITTEN_BYTES}, or an upload",
                        limit=MAX_WRITTEN_BYTES,
                    )
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {_BODY_S:g} s; nothing has changed") from None
    return b"".join(parts)


@routes.on(
    "DELETE",
    "/v1/folders/{folder}/files/{path:.+}",
    query=FolderQuery,
    replies={204: Reply("Deleted.")},
    problems=(Forbidden, Conflict),
)
async def delete_file(call: Call) -> web.Response:
    """Delete a file, or a directory with its content (members)."""
    await call.use.files.delete(call.actor, call["folder"], call.query(FolderQuery).project, call["path"])
    return no_content()


@routes.on(
    "POST",
    "/v1/folders/{folder}/directories",
    query=FolderQuery,
    body=CreateDirectory,
    replies={
        200: Reply("The directory, which was there already.", FileView),
        201: Reply("The directory.", FileView),
    },
    problems=(Forbidden, Conflict, QuotaExceeded, InsufficientStorage),
)
async def create_directory(call: Call) -> web.Response:
    """Create a directory, and those above it that are missing (members)."""
    project, path = call.query(FolderQuery).project, call.body(CreateDirectory).path
    made, new = await call.use.files.make_directory(call.actor, call["folder"], project, path)
    return json_reply(made, status=201 if new else 200)


@routes.on(
    "POST",
    "/v1/folders/{folder}/moves",
    query=FolderQuery,
    body=Move,
    replies={200: Reply("The file or directory, with its new path.", FileView)},
    problems=(Forbidden, Conflict, QuotaExceeded, InsufficientStorage),
)
async def move_file(call: Call) -> web.Response:
    """Move or rename a file, or a directory with its content, in its folder (members). 409 where something is at `to`."""
    project, asked = call.query(FolderQuery).project, call.body(Move)
    return json_reply(await call.use.files.move(call.actor, call["folder"], project, asked))


async def _sent(call: Call) -> web.StreamResponse:
    project = call.query(FolderQuery).project
    async with call.use.files.opened(call.actor, call["folder"], project, call["path"]) as file:
        tag = await call.use.files.blocking(file.entity_tag)
        if has_already(call.request, tag):
            return web.Response(status=304, headers={ETAG.name: f'"{tag}"'})
        return await _send(call, file, f'"{tag}"')


async def _send(call: Call, file: OpenFile, tag: str) -> web.StreamResponse:
    start, end = 0, file.size_bytes
    only_head = call.request.method == "HEAD"
    wanted = None if only_head else _wanted(call.request, file, tag)
    if wanted:
        start, end = wanted
    name = quote(call["path"].rpartition("/")[2], safe="")
    response = web.StreamResponse(
        status=206 if wanted else 200,
        headers={
            "Content-Type": OCTETS,
            "Content-Length": str(end - start),
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Accept-Ranges": "bytes",
            ETAG.name: tag,
            **({"Content-Range": f"bytes {start}-{end - 1}/{file.size_bytes}"} if wanted else {}),
        },
    )
    response.last_modified = file.modified_at
    await response.prepare(call.request)
    while start < end and not only_head:
        chunk = await call.use.files.blocking(partial(file.read_at, start, min(_CHUNK_BYTES, end - start)))
        if not chunk:
            break  # the file was cut meanwhile: the length announced shows that something is missing
        await response.write(chunk)
        start += len(chunk)
    await response.write_eof()
    return response


def _wanted(request: web.Request, file: OpenFile, tag: str) -> tuple[int, int] | None:
    """Return the wanted part as (start, end), None for the whole file. What is no single range of bytes is not a range (RFC 9110)."""
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or match.groups() == ("", "") or request.headers.get("If-Range", tag) != tag:
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
