"""Conditional requests (RFC 9110, 13): If-Match of changes, and entity tags and If-None-Match of what is read.

The entity tag of an answer is `"<etag>-<digest>"`: the thing's own `etag`, of what can be changed, and a digest of the answer. A change
looks at the first only: replicas that came and went in the meantime do not make it fail.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from aiohttp import web

from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.wording import LONGEST_FOUND, cut
from headrace.manager.api.routing import Header

IF_MATCH: Final = Header(
    "If-Match",
    "`etag` of the thing in quotes, or the `ETag` of an answer: 412 `precondition-failed` if it was changed since",
)
IF_NONE_MATCH: Final = Header("If-None-Match", "`ETag` of an earlier answer: 304 if it would be the same")
ETAG: Final = Header("ETag", "Entity tag of the answer")
_TAG: Final = re.compile(r'[ \t]*(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e]*)"[ \t]*(?:,|$)')


def wanted_tags(request: web.Request) -> frozenset[str] | None:
    """Return the tags of which the thing that is to be changed must have one, as its `etag`; None: any."""
    tags = _tags(request, IF_MATCH.name)
    if tags is None:
        return None
    return frozenset(tag.partition("-")[0] for weak, tag in tags if not weak)  # a weak one never matches


def tagged(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Return the answer to a GET with its entity tag, or 304 if the caller has it already."""
    if not (isinstance(response, web.Response) and response.status == 200 and isinstance(response.body, bytes)):
        return response
    own = response.headers.get(ETAG.name, "").strip('"')
    digest = hashlib.blake2b(response.body, digest_size=8).hexdigest()
    tag = f"{own}-{digest}" if own else digest
    response.headers[ETAG.name] = f'"{tag}"'
    if has_already(request, tag):
        return web.Response(status=304, headers={ETAG.name: f'"{tag}"'})
    return response


def has_already(request: web.Request, tag: str) -> bool:
    """Return whether the caller has the answer with this entity tag, by If-None-Match."""
    known = _tags(request, IF_NONE_MATCH.name)
    return IF_NONE_MATCH.name in request.headers and (known is None or any(tag == other for _, other in known))


def _tags(request: web.Request, name: str) -> list[tuple[bool, str]] | None:
    """Return the entity tags of a header, each with whether it is weak; None: there is no such header, or it is `*`."""
    given = ",".join(request.headers.getall(name, ["*"])).strip()
    if given == "*":
        return None
    tags: list[tuple[bool, str]] = []
    at = 0
    while at < len(given) or not tags:
        found = _TAG.match(given, at)
        if found is None:
            raise InvalidRequest.of(
                name, cut(given, LONGEST_FOUND), 'entity tags in quotes, as ETag has them, or "*" alone'
            )
        tags.append((found["weak"] is not None, found["tag"]))
        at = found.end()
    return tags
