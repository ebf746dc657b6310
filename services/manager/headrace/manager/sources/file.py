"""`https://` sources: one file, whose version is its entity tag, or else its date."""

from __future__ import annotations

import re
from typing import Final

from headrace.common.contracts.model_uri import web_name
from headrace.manager.domain.model_source import Listing, SourceError, SourceFile
from headrace.manager.sources.web import Web

_RANGE: Final = re.compile(r"bytes 0-0/([0-9]{1,18})", re.ASCII)
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_LONGEST_VERSION: Final = 300


async def list_file(web: Web, uri: str, token: str) -> Listing:
    """Return the file as it is now, by asking for its first byte. Raises SourceError."""
    async with web.get(uri, headers={"Range": "bytes=0-0"}, token=token) as response:
        headers = response.headers
        found = (_RANGE if response.status == 206 else _LENGTH).fullmatch(
            headers.get("Content-Range" if response.status == 206 else "Content-Length", "")
        )
        if found is None:
            raise SourceError(f"{uri.partition('?')[0]} does not say its size (Content-Length)", lasting=True)
        tag = headers.get("ETag", "")
        version = tag or headers.get("Last-Modified", "")
    if not version or len(version) > _LONGEST_VERSION:
        text = f"{uri.partition('?')[0]} has no version: it says neither ETag nor Last-Modified"
        raise SourceError(text, lasting=True)
    strong = "" if tag.startswith("W/") else tag
    size = int(found[1] if response.status == 206 else found[0])
    return Listing(version, (SourceFile(web_name(uri), size, uri, etag=strong),)).check()
