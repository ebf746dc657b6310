"""`s3://` sources: the objects below a prefix of a bucket, or one object.

Listed by obstore, and fetched by URLs that it signs, so that all files come through the same client. Its calls block, and are
made in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from headrace.common.contracts.manifest import MAX_MANIFEST_ENTRIES
from headrace.common.contracts.model_uri import bucket_name
from headrace.manager.domain.model_source import Listing, SourceError, SourceFile
from headrace.manager.sources.credentials import Credential

if TYPE_CHECKING:
    from obstore.store import S3Store

_PAGE: Final = 1000
_NO_BUCKET: Final = "status code: 404"
"""In the text of obstore's error, which has no class for it."""
_SIGNED_FOR: Final = timedelta(hours=24)
"""An import that lasts longer lists again, and goes on."""
_NO_RETRIES: Final[Any] = {
    "max_retries": 0,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"base": 2, "init_backoff": timedelta(seconds=1), "max_backoff": timedelta(seconds=1)},
}


@dataclass(frozen=True)
class BucketServer:
    """Server of the buckets of `s3://` URIs."""

    endpoint: str
    region: str


async def list_bucket(server: BucketServer, uri: str, credential: Credential | None) -> Listing:
    """Return the objects as they are now. Raises SourceError."""
    return await asyncio.to_thread(partial(_list, server, uri, credential))


def _list(server: BucketServer, uri: str, credential: Credential | None) -> Listing:
    from obstore.exceptions import BaseError  # noqa: PLC0415 - takes time and memory, which those without buckets save

    bucket, prefix = bucket_name(uri)
    store = _store(server, bucket, credential)
    try:
        found = list(islice(_objects(store, prefix), MAX_MANIFEST_ENTRIES + 1))
        files = [_file(store, server, bucket, credential, prefix, one) for one in found]
    except (BaseError, FileNotFoundError) as error:
        raise _refused(uri, error) from None
    files.sort(key=lambda file: file.path)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.size_bytes}\0{file.etag}\0".encode())
    return Listing(digest.hexdigest(), tuple(files)).check()


def _store(server: BucketServer, bucket: str, credential: Credential | None) -> S3Store:
    from obstore.store import S3Store  # noqa: PLC0415

    keys: dict[str, Any] = {"skip_signature": True}
    if credential is not None and credential.secret_access_key is not None:
        keys = {
            "access_key_id": credential.access_key_id,
            "secret_access_key": credential.secret_access_key.get_secret_value(),
        }
    return S3Store(
        bucket,
        endpoint=server.endpoint.rstrip("/"),
        region=server.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": "15s", "connect_timeout": "10s"},
        retry_config=_NO_RETRIES,
        **keys,
    )


def _objects(store: S3Store, prefix: str) -> Iterator[Any]:
    """Yield the objects below the prefix; the one at the prefix itself where there are none."""
    import obstore  # noqa: PLC0415

    below = False
    for page in obstore.list(store, prefix=prefix, chunk_size=_PAGE):
        for one in page:
            if one["size"] or not one["path"].endswith("/"):  # stands for an empty directory in some tools
                below = True
                yield one
    if not below:
        yield obstore.head(store, prefix)


def _file(
    store: S3Store, server: BucketServer, bucket: str, credential: Credential | None, prefix: str, one: Any
) -> SourceFile:
    import obstore  # noqa: PLC0415

    key, tag = str(one["path"]), str(one.get("e_tag") or "")
    if not tag:
        raise SourceError(f"the bucket has no entity tag for {key[:200]}", lasting=True)
    path = key.rpartition("/")[2] if key == prefix else key.removeprefix(f"{prefix}/")
    plain = f"{server.endpoint.rstrip('/')}/{bucket}/{quote(key)}"
    url = plain if credential is None else obstore.sign(store, "GET", key, _SIGNED_FOR)
    return SourceFile(path, int(one["size"]), url, etag=tag)


def _refused(uri: str, error: Exception) -> SourceError:
    from obstore import exceptions  # noqa: PLC0415

    if isinstance(error, exceptions.NotFoundError | FileNotFoundError) or _NO_BUCKET in str(error):
        return SourceError(f"there is nothing at {uri}", lasting=True)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        text = (
            f"{uri} needs a credential, or refuses the one for it (model_secret, or the setting model_credentials_file)"
        )
        return SourceError(text, lasting=True)
    first = str(error).partition("\n")[0][:200]
    return SourceError(f"the server of {uri} does not answer as it should: {first}", lasting=False)
