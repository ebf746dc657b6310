"""Model URIs: where the files of a service's model come from, if not from a model folder."""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeInt, StringConstraints

from headrace.common.contracts.ids import ImportId
from headrace.common.contracts.wording import Refused

MAX_URI_CHARACTERS: Final = 2048
FORMS: Final = (
    "hf://org/name[@revision], s3://bucket/prefix, https://host/path/of/a/file or file:///path/on/the/machines"
)
_HUB: Final = re.compile(
    r"hf://(?P<repo>(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,254}))?",
    re.ASCII,
)
_BUCKET: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>[!-~]+?)/?", re.ASCII)
_PATH: Final = re.compile(r"file://(?P<path>/[^\x00-\x1f\x7f:,]{1,1000}?)/?")
_WEB: Final = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+/[!-~]+", re.ASCII)


class HubName(NamedTuple):
    """Repository of a hub, and the branch, tag or commit; `main` where none is given."""

    repo: str
    revision: str


def scheme_of(uri: str) -> str:
    """Return what stands before `://`."""
    return uri.partition("://")[0]


def hub_name(uri: str) -> HubName:
    """Return the parts of an `hf://` URI. Raises Refused."""
    match = _HUB.fullmatch(uri)
    if match is None or _leads_out(f"{match['repo']}/{match['revision'] or 'main'}"):
        raise Refused(uri, "hf://org/name or hf://org/name@revision, with a branch, tag or commit")
    return HubName(match["repo"], match["revision"] or "main")


class BucketName(NamedTuple):
    """Bucket, and the prefix of the objects in it, without a slash at its end."""

    bucket: str
    prefix: str


def bucket_name(uri: str) -> BucketName:
    """Return the parts of an `s3://` URI. Raises Refused."""
    match = _BUCKET.fullmatch(uri)
    if match is None or _leads_out(match["prefix"]):
        raise Refused(
            uri, "s3://bucket/prefix, with the names of directories or an object as they are, not percent-encoded"
        )
    return BucketName(match["bucket"], match["prefix"])


def host_path(uri: str) -> str:
    """Return the path on the machines that a `file://` URI names. Raises Refused."""
    match = _PATH.fullmatch(uri)
    if match is None or _leads_out(match["path"][1:]):
        raise Refused(uri, "file:///path/on/the/machines, without parts like .., colon and comma, not percent-encoded")
    return match["path"]


def web_name(uri: str) -> str:
    """Return the name of the file that an `https://` URI leads to. Raises Refused."""
    allowed = "https://host/path/of/a/file, without user, password, fragment and parts like .."
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        raise Refused("something else", allowed) from None
    if _WEB.fullmatch(uri) is None or parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("something else", allowed)  # the value may have a password
    path = unquote(parts.path)
    name = path.rpartition("/")[2]
    if not parts.hostname or not name or _leads_out(path[1:]):
        raise Refused(uri, allowed)
    return name


def _leads_out(path: str) -> bool:
    return "\\" in path or any(part in {"", ".", ".."} for part in path.split("/"))


def _valid(uri: str) -> str:
    scheme = scheme_of(uri)
    if scheme == "hf":
        hub_name(uri)
    elif scheme == "s3":
        bucket_name(uri)
    elif scheme == "file":
        host_path(uri)
    elif scheme in {"https", "http"}:
        web_name(uri)
    else:
        raise Refused(uri, FORMS)
    return uri


ModelUri = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URI_CHARACTERS), AfterValidator(_valid)]
"""URI of a model's files, in one of FORMS."""


class ModelSource(BaseModel):
    """A model URI at one version: what a revision has of it, whatever the URI leads to later."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    uri: str
    version: str
    """Commit of a hub; digest of a bucket's listing; entity tag or date of a file."""
    import_id: ImportId
    size_bytes: NonNegativeInt
    files: NonNegativeInt
