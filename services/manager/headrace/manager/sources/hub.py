"""`hf://` sources: a repository of a hub that speaks Hugging Face's protocol, at one commit.

Three requests of its documented API: the commit of a revision, the files of a commit, a file of a commit.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError

from headrace.common.contracts.manifest import MAX_MANIFEST_ENTRIES
from headrace.common.contracts.model_uri import hub_name
from headrace.manager.domain.model_source import Listing, SourceError, SourceFile
from headrace.manager.sources.web import Web

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_SHA1: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
MAX_PAGES: Final = 1000
"""Bound on the pages of a listing."""


class _Large(BaseModel):
    model_config = ConfigDict(extra="ignore")
    oid: str


class _Entry(BaseModel):
    """Entry of `…/tree/{commit}`."""

    model_config = ConfigDict(extra="ignore")
    type: str
    path: str
    oid: str = ""
    size: NonNegativeInt = 0
    lfs: _Large | None = None


_PAGE: Final = TypeAdapter(list[_Entry])


class _Revision(BaseModel):
    model_config = ConfigDict(extra="ignore")
    sha: str


async def list_repository(web: Web, endpoint: str, uri: str, token: str, *, commit: str | None = None) -> Listing:
    """Return the files of the revision that the URI names, or of this commit. Raises SourceError."""
    repo, revision = hub_name(uri)
    base = f"{endpoint.rstrip('/')}/api/models/{repo}"
    if commit is None:
        found, _ = await web.document(f"{base}/revision/{quote(revision, safe='')}", token=token)
        commit = _parsed(uri, _Revision.model_validate, found).sha
    if _COMMIT.fullmatch(commit) is None:
        raise SourceError(f"the hub answered with a commit for {uri} that is none", lasting=False)
    files: list[SourceFile] = []
    url = f"{base}/tree/{commit}?recursive=true"
    for _ in range(MAX_PAGES):
        found, following = await web.document(url, token=token)
        entries = _parsed(uri, _PAGE.validate_python, found)
        files += [_file(endpoint, repo, commit, entry) for entry in entries if entry.type == "file"]
        if following is None or len(files) > MAX_MANIFEST_ENTRIES:
            break
        url = following
    else:
        raise SourceError(f"the hub lists {uri} in more than {MAX_PAGES} pages", lasting=True)
    return Listing(commit, tuple(sorted(files, key=lambda file: file.path))).check()


def _file(endpoint: str, repo: str, commit: str, entry: _Entry) -> SourceFile:
    url = f"{endpoint.rstrip('/')}/{repo}/resolve/{commit}/{quote(entry.path)}"
    sha256 = entry.lfs.oid.removeprefix("sha256:") if entry.lfs else ""
    sha1 = "" if entry.lfs or not _SHA1.fullmatch(entry.oid) else entry.oid
    if sha256 and not _SHA256.fullmatch(sha256):
        raise SourceError(f"the hub has no SHA-256 for {entry.path[:200]}", lasting=True)
    return SourceFile(entry.path, entry.size, url, sha256=sha256, git_sha1=sha1)


def _parsed(uri: str, parse: Any, document: Any) -> Any:
    try:
        return parse(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise SourceError(
            f"the hub's answer for {uri} cannot be read (at {where or 'its top'})", lasting=False
        ) from None
