"""Routes of resumable uploads: tus 1.0, core protocol and the creation extensions (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator
from functools import wraps

from aiohttp import ClientError, web

from headrace.common.contracts.http.folders import UploadView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import (
    ChecksumMismatch,
    Conflict,
    Forbidden,
    InsufficientStorage,
    InvalidRequest,
    Locked,
    PreconditionFailed,
    Problem,
    QuotaExceeded,
    TooLarge,
    UnsupportedMediaType,
)
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Handler, Header, Paging, Reference, Reply, Routes, json_reply, no_content

routes = Routes("uploads")
VERSION = "1.0.0"
OCTETS = "application/offset+octet-stream"
_NUMBER = re.compile(r"^[0-9]{1,18}$")
_CHUNK_BYTES = 256 * 1024
_TUS = Header("Tus-Resumable", "Protocol version", required=True, schema={"type": "string", "enum": [VERSION]})
_OFFSET = Header("Upload-Offset", "Bytes that have arrived", schema={"type": "integer", "minimum": 0})
_AT = Header("Upload-Offset", "Where the body begins", required=True, schema={"type": "integer", "minimum": 0})
_LENGTH = Header("Upload-Length", "Size of the file in bytes", required=True, schema={"type": "integer", "minimum": 0})
_METADATA = Header(
    "Upload-Metadata",
    "`path <base64>`, and optionally `sha256 <base64 of the hexadecimal digest>`, `mtime <base64 of seconds since 1970>`",
    required=True,
)
_PROBLEMS = (Forbidden, PreconditionFailed, InsufficientStorage)


def _tus(handler: Handler) -> Handler:
    """Check the protocol's version, and say it in every answer, refusals included."""

    @wraps(handler)
    async def checked(call: Call) -> web.StreamResponse:
        try:
            found = call.request.headers.get("Tus-Resumable")
            if found != VERSION:
                problem = PreconditionFailed(f"Tus-Resumable: found {found or 'nothing'}; allowed: {VERSION}")
                problem.headers = {"Tus-Version": VERSION}
                raise problem
            response = await handler(call)
        except Problem as problem:
            problem.headers["Tus-Resumable"] = VERSION
            raise
        response.headers["Tus-Resumable"] = VERSION
        return response

    return checked


@routes.on(
    "OPTIONS",
    "/v1/folders/{folder}/uploads",
    public=True,
    replies={
        204: Reply("What is supported, in header fields.", headers=(Header("Tus-Max-Size", "Most bytes of a file"),))
    },
)
async def options(call: Call) -> web.Response:
    """Get the supported version and extensions of tus (resumable uploads)."""
    return no_content(
        Tus_Resumable=VERSION,
        Tus_Version=VERSION,
        Tus_Extension="creation,creation-with-upload,termination",
        Tus_Max_Size=str(call.use.uploads.max_bytes),
    )


class UploadsQuery(Paging):
    """Query parameters of a list of uploads."""

    project: Reference | None = None
    """Name or id, needed when several of the caller's projects have a folder of this name."""


@routes.on(
    "GET",
    "/v1/folders/{folder}/uploads",
    query=UploadsQuery,
    replies={200: Reply("A page of incomplete uploads.", Page[UploadView])},
)
async def list_uploads(call: Call) -> web.StreamResponse:
    """List the folder's incomplete resumable uploads, oldest first."""
    query = call.query(UploadsQuery)
    return json_reply(
        await call.use.uploads.page(call.actor, call["folder"], query.project, after=query.after, limit=query.limit)
    )


@routes.on(
    "POST",
    "/v1/folders/{folder}/uploads",
    query=FolderQuery,
    headers=(_TUS, _LENGTH, _METADATA),
    bytes_allowed=True,
    replies={201: Reply("Created.", headers=(Header("Location", "Where the parts go"), _OFFSET))},
    problems=(*_PROBLEMS, TooLarge, Conflict, QuotaExceeded, ChecksumMismatch, Locked),
)
@_tus
async def create_upload(call: Call) -> web.StreamResponse:
    """Create a resumable upload (members). The file is moved into its place, atomically, when its last byte was received."""
    project = call.query(FolderQuery).project
    length = _number(call.request, "Upload-Length")
    metadata = _metadata(call.request.headers.get("Upload-Metadata", ""))
    upload = await call.use.uploads.create(
        call.actor,
        call["folder"],
        project,
        metadata.get("path", ""),
        length,
        metadata.get("sha256"),
        metadata.get("mtime", ""),
    )
    offset = 0
    if call.request.content_type == OCTETS and length > 0:
        offset = await call.use.uploads.append(
            call.actor, str(upload.folder_id), None, str(upload.id), 0, body_parts(call.request)
        )
    location = f"/v1/folders/{upload.folder_id}/uploads/{upload.id}"
    return web.Response(status=201, headers={"Location": location, "Upload-Offset": str(offset)})


@routes.on(
    "HEAD",
    "/v1/folders/{folder}/uploads/{upload}",
    query=FolderQuery,
    headers=(_TUS,),
    replies={
        200: Reply(
            "The offset and size, in header fields.",
            headers=(_OFFSET, Header("Upload-Length", "Size of the file in bytes")),
        )
    },
    problems=_PROBLEMS,
)
@_tus
async def show_upload(call: Call) -> web.StreamResponse:
    """Get the offset of an upload: the bytes received. 404 once the file is complete."""
    project = call.query(FolderQuery).project
    upload, offset = await call.use.uploads.offset(call.actor, call["folder"], project, call["upload"])
    return web.Response(headers={"Upload-Offset": str(offset), "Upload-Length": str(upload.size_bytes)})


@routes.on(
    "PATCH",
    "/v1/folders/{folder}/uploads/{upload}",
    query=FolderQuery,
    headers=(_TUS, _AT),
    raw_body=OCTETS,
    replies={204: Reply("The new offset.", headers=(_OFFSET,))},
    problems=(*_PROBLEMS, Conflict, TooLarge, UnsupportedMediaType, Locked, ChecksumMismatch),
)
@_tus
async def append_to_upload(call: Call) -> web.StreamResponse:
    """Append bytes to an upload, at its offset. What was received before a lost connection is kept."""
    if call.request.content_type != OCTETS:
        raise UnsupportedMediaType(f"the body is {call.request.content_type}; allowed: {OCTETS}")
    offset = _number(call.request, "Upload-Offset")
    project = call.query(FolderQuery).project
    at = await call.use.uploads.append(
        call.actor, call["folder"], project, call["upload"], offset, body_parts(call.request)
    )
    return no_content(Upload_Offset=str(at))


@routes.on(
    "DELETE",
    "/v1/folders/{folder}/uploads/{upload}",
    query=FolderQuery,
    headers=(_TUS,),
    replies={204: Reply("Cancelled.")},
    problems=(*_PROBLEMS, Locked),
)
@_tus
async def cancel_upload(call: Call) -> web.StreamResponse:
    """Cancel an incomplete upload, and delete its bytes."""
    await call.use.uploads.cancel(call.actor, call["folder"], call.query(FolderQuery).project, call["upload"])
    return no_content()


async def body_parts(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises InvalidRequest when the sender goes away."""
    try:
        async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
            yield chunk
    except (ClientError, ConnectionError, web.RequestPayloadError) as error:
        raise InvalidRequest("the body ended too early; what arrived is kept") from error


def _number(request: web.Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not _NUMBER.match(text):
        raise InvalidRequest.of(name, text[:50] or "nothing", "a number of bytes")
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    """Return the pairs of an Upload-Metadata header. Keys that mean nothing here are allowed (clients add file names)."""
    pairs: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        try:
            pairs[key] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            if key in {"path", "sha256"}:
                raise InvalidRequest.of(f"Upload-Metadata: {key}", value[:80], "base64 of UTF-8 text") from None
    return pairs
